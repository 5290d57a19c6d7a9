package store

// Finding is one thing that an engine tells of its own state: that it is what the
// service needs, that it is less, or that it is not.
type Finding struct {
	// What was looked at, in a word or two.
	What string
	// Note is what was found.
	Note string
	// Warning: it works, but not as an operator should want it; Note says why.
	Warning bool
	// Err says what does not work; nil when it does.
	Err error
}
