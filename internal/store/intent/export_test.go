package intent

// Next is for tests.
func (l Lanes) Next() (Budget, Lanes) { return l.next() }
