package attack_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"codeword/api"
	"codeword/test/testserver"
)

// The limits of a client that configures none.
const (
	phoneBurst   = 3
	addressBurst = 10
)

func TestParallelSends(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	to := number(1)
	answers := atOnce(20, func(int) answer { return c.send(to) })
	got := tally(answers)
	for _, a := range answers {
		if a.status != http.StatusTooManyRequests {
			continue
		}
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil || wait < 1 || wait > 60 || a.err.Data == nil || a.err.Data.Limit == "" {
			t.Errorf("429 with Retry-After %q, data %v", a.header.Get("Retry-After"), a.err.Data)
		}
	}
	report(t, "parallel-sends", "20 sends to one phone of a live client at once", "%d accepted, %d messages, %v", got["200"], len(s.Inbox(to)), got)
	if !fills(got["200"], phoneBurst) || got["429 EXCEEDS_LIMIT_SMS"] != 20-got["200"] || len(s.Inbox(to)) != got["200"] {
		t.Errorf("%v, want %d accepted", got, phoneBurst)
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	for name, cred := range map[string]testserver.Credentials{"test": s.Test, "live": s.Live} {
		c := callAs(t, s.Endpoint, cred)
		to := map[string]string{"test": number(1), "live": number(2)}[name]
		answers := atOnce(50, func(int) answer { return c.send(to, idempotency("order-4711")) })
		replays, ids := 0, make(map[string]bool)
		for _, a := range answers {
			switch {
			case a.status == http.StatusOK:
				ids[a.ok.PhoneID] = true
				if a.header.Get(api.HeaderIdempotentReplayed) == "true" {
					replays++
				}
			case !a.is(http.StatusConflict, api.CodeInProgressIdempotencyKey) || a.header.Get("Retry-After") == "":
				t.Errorf("%s: a repeated send got %s", name, a)
			}
		}
		s.Code(to) // the message is there
		messages := len(s.Inbox(to))
		other := c.send(number(3), idempotency("order-4711"))
		got := tally(answers)
		report(t, "idempotency", "one send 50 times at once under one key ("+name+" client), then another body",
			"%d message, %v, %d replayed; the other body got %s", messages, got, replays, other)
		if messages != 1 || len(ids) != 1 || replays != got["200"]-1 {
			t.Errorf("%s: %d messages, %d ids, %d replays of %v", name, messages, len(ids), replays, got)
		}
		if !other.is(http.StatusUnprocessableEntity, api.CodeInvalidIdempotencyKey) || len(s.Inbox(number(3))) != 0 {
			t.Errorf("%s: another body under the key got %s", name, other)
		}
	}
}

// TestIdempotencyIsOfTheClient: a key must not tell one client what another did.
func TestIdempotencyIsOfTheClient(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	a, b := callAs(t, s.Endpoint, s.Live), callAs(t, s.Endpoint, s.Test)
	a.mustSend(number(1), idempotency("shared"))
	other := b.send(number(2), idempotency("shared"))
	same := b.send(number(1), idempotency("shared-2"))
	report(t, "foreign-idempotency-key", "a key that another client has used, with another body", "got %s", other)
	if other.status != http.StatusOK || other.header.Get(api.HeaderIdempotentReplayed) != "" || same.status != http.StatusOK {
		t.Errorf("a key of another client got %s", other)
	}
}

// TestAliases: one line has one spelling, so that no spelling is a second
// budget for the same phone.
func TestAliases(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	const to = "+16502180000"
	aliases := []string{
		"+1 650-218-0000", "+1 6502180000", "+1-650-218-0000", "+1(650)2530000", "+1.650.253.0000", "1 (650) 218-0000",
		"6502180000", "16502180000", "0016502180000", "01116502180000", "+016502180000", "+0016502180000", "++16502180000",
		"\uff0b16502180000", "+１６５０２５３００００", "+1650218000０", "+١٦٥٠٢٥٣٠٠٠٠", "+1650２530000", "+16502180000\ufe0e",
		"tel:+16502180000", "TEL:+16502180000", "sms:+16502180000", "sip:+16502180000@x", "tel:+1-650-218-0000;ext=1",
		"+16502180000 ", " +16502180000", "+16502180000\n", "+16502180000\r\n", "\n+16502180000", "+16502180000\t", "+16502180000\x00",
		"\x00+16502180000", "+16502180000\u00a0", "+16502180000\u200b", "\u200e+16502180000", "\u202a+16502180000\u202c", "\ufeff+16502180000",
		"+16502180000,1", "+16502180000;1", "+16502180000x1", "+16502180000#1", "+16502180000ext1", "+16502180000p1", "+16502180000w",
		"+165021800000", "+1650218000", "+116502180000", "+1650218000O", "+1650218000o", "+l6502180000", "+1e10", "+1650218_0000",
		"+0x3d7e8d3f0", "-16502180000", "+-16502180000", "+", "+1", "16502180000+", "+1650218+0000",
		"+16502180000/+16502180001", "+16502180000,+16502180001", "+1 650-CAL-0000", "%2B16502180000",
	}
	refused := 0
	for _, alias := range aliases {
		if a := c.send(alias); a.is(http.StatusBadRequest, api.CodeInvalidPhone) {
			refused++
		} else {
			t.Errorf("%q got %s", alias, a)
		}
	}
	// None of them was a send to the phone: its budget is whole.
	accepted := 0
	for range phoneBurst + 1 {
		if c.send(to).status == http.StatusOK {
			accepted++
		}
	}
	report(t, "alias-numbers", fmt.Sprintf("%d other spellings of one number", len(aliases)), "%d refused as INVALID_PHONE, then %d sends accepted", refused, accepted)
	if accepted != phoneBurst || len(s.Inbox(to)) != phoneBurst {
		t.Errorf("%d sends accepted, %d messages", accepted, len(s.Inbox(to)))
	}
}

// fills tells whether so many accepted of more that came at once are a whole burst.
// Never is it more. One may be overtaken by another: a send that is a millisecond older
// than the first that was charged finds the burst full for that millisecond, and is told
// to come back.
func fills(accepted, burst int) bool { return accepted == burst || accepted == burst-1 }

// spoofed are the headers in which callers like to name an address.
func spoofed(i int) []header {
	ip := fmt.Sprintf("203.0.113.%d", i+1)
	return []header{
		{"X-Forwarded-For", ip},
		{"X-Real-IP", ip},
		{"Forwarded", "for=" + ip},
		{"True-Client-IP", ip},
		{"CF-Connecting-IP", ip},
		{"X-Client-IP", ip},
		{"X-Originating-IP", ip},
		{"User-Agent", "agent " + ip},
	}
}

func TestRotatedForwardedFor(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	phone := tally(atOnce(20, func(i int) answer { return c.send(number(1), spoofed(i)...) }))
	address := tally(atOnce(25, func(i int) answer { return c.send(number(100+i), append(spoofed(i), fingerprintIP("198.51.100.7"))...) }))
	report(t, "rotated-x-forwarded-for", "20 sends to one phone, and 25 for one end user's address, with addresses made up in seven headers",
		"%d and %d accepted", phone["200"], address["200"])
	if !fills(phone["200"], phoneBurst) || !fills(address["200"], addressBurst) {
		t.Errorf("phone %v, address %v; want %d and %d", phone, address, phoneBurst, addressBurst)
	}

	behind := testserver.Start(t, testserver.Options{Flags: []string{"--trusted-proxies", "127.0.0.1"}})
	c = callAs(t, behind.Endpoint, behind.Live)
	// The proxy appends its peer; what stands before is the caller's invention.
	appended := tally(atOnce(25, func(i int) answer {
		return c.send(number(i), header{"X-Forwarded-For", fmt.Sprintf("203.0.113.%d, 192.0.2.%d, 198.51.100.7", i, i)})
	}))
	lines := tally(atOnce(25, func(i int) answer {
		return c.send(number(100+i), header{"X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i)}, header{"X-Forwarded-For", "198.51.100.8"})
	}))
	report(t, "prepended-x-forwarded-for", "25 sends through a trusted proxy that appends the peer, with other addresses before it or in a line of their own",
		"%d and %d accepted", appended["200"], lines["200"])
	if !fills(appended["200"], addressBurst) || !fills(lines["200"], addressBurst) {
		t.Errorf("appended %v, lines %v; want %d each", appended, lines, addressBurst)
	}
}

func TestEndUserAddress(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	next := 0
	accepted := func(n int, address func(i int) string) int {
		first := next
		next += n
		return tally(atOnce(n, func(i int) answer { return c.send(number(first+i), fingerprintIP(address(i))) }))["200"]
	}
	one := accepted(15, func(int) string { return "192.0.2.1" })
	mapped := accepted(3, func(i int) string {
		return []string{"::ffff:192.0.2.1", "::ffff:c000:201", "0:0:0:0:0:ffff:192.0.2.1"}[i]
	})
	neighbor := accepted(3, func(int) string { return "192.0.2.2" })
	block := accepted(25, func(i int) string { return fmt.Sprintf("2001:db8:1:2:%x::%x", i+1, i*7) })
	zoned := accepted(2, func(i int) string { return fmt.Sprintf("2001:db8:1:2::1%%eth%d", i) })
	nextBlock := accepted(3, func(i int) string { return fmt.Sprintf("2001:db8:1:3::%x", i) })
	report(t, "end-user-address", "15 sends from one IPv4 address, 3 as IPv4-mapped IPv6, 25 rotating within one IPv6 /64, 2 with zones",
		"%d, %d, %d and %d accepted; neighbors %d and %d of 3", one, mapped, block, zoned, neighbor, nextBlock)
	if !fills(one, addressBurst) || !fills(one+mapped, addressBurst) || !fills(block, addressBurst) || !fills(block+zoned, addressBurst) {
		t.Errorf("accepted %d, %d, %d, %d; want %d, 0, %d, 0", one, mapped, block, zoned, addressBurst, addressBurst)
	}
	if neighbor != 3 || nextBlock != 3 {
		t.Errorf("neighbors: %d and %d of 3 accepted", neighbor, nextBlock)
	}
	ignored := 0
	hostile := []string{"", "x", "{", `{"ip":`, `{"ip":1}`, `{"ip":"999.1.1.1"}`, `["192.0.2.1"]`, `{"ip":"192.0.2.1","ip":"192.0.2.9"}`, `{"ip":"192.0.2.1\u0000"}`}
	for i, value := range hostile {
		if a := c.send(number(9000+i), header{api.HeaderDeviceFingerprint, value}); a.status == http.StatusOK {
			ignored++
		}
	}
	if ignored != len(hostile) {
		t.Errorf("%d of %d malformed fingerprints were ignored", ignored, len(hostile))
	}
}
