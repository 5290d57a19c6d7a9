package twilio

// Sign is what Twilio does before it calls us.
var Sign = sign

// Reasons is the table of codes.
var Reasons = reasons
