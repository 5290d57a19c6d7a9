package telnyx

// Reasons is the table of codes.
var Reasons = reasons
