package client

// SendOption is an option of [Client.Send].
type SendOption interface{ applySend(*call) }

// CallOption is an option of every call.
type CallOption func(*call)

func (o CallOption) applySend(c *call) { o(c) }

// WithSession presents a bearer token in this call, instead of the one in
// [Config]: a session JWT of the service, or a token of an issuer it trusts.
// An empty one presents none.
func WithSession(token Secret) CallOption {
	return func(c *call) { c.session = token }
}

// WithDeviceFingerprint tells the service what is known of the person's
// device, a JSON object in ASCII. The service limits per address in its member "ip",
// and knows a device again by its member "deviceId": tell that on Send and on
// Authenticate, or on neither.
func WithDeviceFingerprint(fingerprint string) CallOption {
	return func(c *call) { c.fingerprint = fingerprint }
}

// WithIdempotencyKey names the intended message, 1 to 255 visible ASCII
// characters, so that a call can be repeated across restarts of the caller and
// still send once (24 hours). By default each call has a key of its own.
func WithIdempotencyKey(key string) SendOption { return idempotencyKey(key) }

type idempotencyKey string

func (k idempotencyKey) applySend(c *call) { c.key, c.keySet = string(k), true }

// WithCaptchaToken passes on what a captcha gave the person's browser, for clients of
// the service that are configured to want it.
func WithCaptchaToken(token string) SendOption { return captchaToken(token) }

type captchaToken string

func (t captchaToken) applySend(c *call) { c.captcha = string(t) }
