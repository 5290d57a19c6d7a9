//go:build !unix

package app

// onHangup does nothing where there is no SIGHUP.
func onHangup(func()) (stop func()) { return func() {} }
