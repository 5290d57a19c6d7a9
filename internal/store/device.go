package store

// DeviceID is a keyed digest of what a caller tells of the end user's device, the
// same for the same client and device. The zero one is for none.
type DeviceID [16]byte

// Devices are those that verified a phone, most recent first, as an engine keeps them
// with the phone: their digests, one behind the other.
type Devices string

// maxDevices is how many devices of a phone are remembered.
const maxDevices = 4

// Has tells whether the device is among them. No device never is.
func (l Devices) Has(d DeviceID) bool {
	if d == (DeviceID{}) {
		return false
	}
	for ; len(l) >= len(d); l = l[len(d):] {
		if string(l[:len(d)]) == string(d[:]) {
			return true
		}
	}
	return false
}

// With returns the list after the device has verified the phone: it is the first now,
// and the oldest goes when there are too many. No device changes nothing.
func (l Devices) With(d DeviceID) Devices {
	if d == (DeviceID{}) || len(l) >= len(d) && string(l[:len(d)]) == string(d[:]) {
		return l
	}
	out := append(make([]byte, 0, maxDevices*len(d)), d[:]...)
	for ; len(l) >= len(d) && len(out) < cap(out); l = l[len(d):] {
		if string(l[:len(d)]) != string(d[:]) {
			out = append(out, l[:len(d)]...)
		}
	}
	return Devices(out)
}
