// Package numbers makes distinct, valid United States phone numbers for load
// tests: as many as wanted, without remembering which were handed out.
package numbers

import (
	"strconv"
	"strings"
	"sync"

	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
)

// areaCodes are geographic codes of the fifty states and Washington, each long
// in service (NANPA area code assignments).
const areaCodes = `
201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 225 228 229
231 234 239 240 248 251 252 253 254 256 260 262 267 269 270 276 281 301 302 303
304 305 307 308 309 310 312 313 314 315 316 317 318 319 320 321 323 325 330 334
336 337 347 352 360 361 386 401 402 404 405 406 407 408 409 410 412 413 414 415
417 419 423 425 432 434 435 440 443 469 478 479 480 501 502 503 504 505 507 508
509 510 512 513 515 516 517 518 520 530 540 541 559 561 562 563 570 573 574 580
585 586 601 602 603 605 606 607 608 609 610 612 614 615 616 617 618 619 620 623
626 630 631 636 641 646 650 651 660 661 662 678 682 701 702 703 704 706 707 708
`

const lines = 10_000 // numbers in one exchange

// Generator maps an index to a phone number, one to one and spread over area
// codes and exchanges. It is immutable and safe for concurrent use.
type Generator struct {
	// exchanges are area codes with an exchange each, six digits.
	exchanges []string
	size      uint64
	stride    uint64
	offset    uint64
}

// New returns a generator. The seed picks where in the space of about a
// thousand million numbers the sequence starts, so that runs against kept data
// with different seeds meet other numbers.
func New(seed uint64) *Generator {
	g := &Generator{exchanges: exchanges()}
	g.size = uint64(len(g.exchanges)) * lines
	// A stride without a common factor visits every number once; one near the
	// golden section puts neighboring indices far apart.
	g.stride = uint64(float64(g.size) * 0.6180339887)
	for gcd(g.stride, g.size) != 1 {
		g.stride++
	}
	g.offset = seed % g.size
	return g
}

// Size returns how many distinct numbers there are; indices repeat after that.
func (g *Generator) Size() uint64 { return g.size }

// Append appends the number with the given index in E.164, "+" and 11 digits,
// to dst and returns the extended buffer.
func (g *Generator) Append(dst []byte, index uint64) []byte {
	place := (index%g.size + g.offset) % g.size * g.stride % g.size // below 2^31 each, so no overflow
	exchanges := uint64(len(g.exchanges))
	dst = append(dst, '+', '1')
	dst = append(dst, g.exchanges[place%exchanges]...)
	line := place / exchanges
	return append(dst, byte('0'+line/1000), byte('0'+line/100%10), byte('0'+line/10%10), byte('0'+line%10))
}

// exchanges lists the exchanges of the area codes whose numbers are all accepted: each
// thousands-block is mobile, or nobody can tell.
var exchanges = sync.OnceValue(func() []string {
	var all []string
	for _, area := range strings.Fields(areaCodes) {
		for nxx := 200; nxx <= 999; nxx++ {
			if nxx == 958 || nxx == 959 { // plant tests, in some places
				continue
			}
			if exchange := area + strconv.Itoa(nxx); accepted(exchange) {
				all = append(all, exchange)
			}
		}
	}
	return all
})

func accepted(exchange string) bool {
	for x := range 10 {
		n, err := phone.Parse("+1" + exchange + strconv.Itoa(x) + "000")
		if err != nil || (phone.Rule{}).Check(n) != nil || !phone.LineTypes(0).Has(lookup.Embedded().Block(n)) {
			return false
		}
	}
	return true
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
