package main

import (
	"bytes"
	"errors"
	"sync/atomic"

	"codeword/bench/internal/numbers"
	"codeword/bench/internal/wire"
)

const (
	pathSend         = "/v1/auth/otp/sms:send"
	pathAuthenticate = "/v1/auth/otp/sms:authenticate"
)

// phones hands out numbers that were not used before in this process.
type phones struct {
	*numbers.Generator
	next atomic.Uint64
}

// sends is a send to a new number with each request.
type sends struct {
	phones  *phones
	renders [][]byte // a whole request for each session in turn
	digits  []int    // where in it the number stands
	left    atomic.Int64
	count   atomic.Uint64
}

// newSends returns a workload of at most limit requests. Without templates with
// a bearer the one template serves all.
func newSends(p *phones, limit int64, templates ...*wire.Template) (*sends, error) {
	const placeholder = "+10000000000"
	s := &sends{phones: p}
	s.left.Store(limit)
	for _, t := range templates {
		request := t.Append(nil, `{"phoneNumber":"`, placeholder, `"}`)
		s.renders = append(s.renders, request)
		s.digits = append(s.digits, bytes.LastIndex(request, []byte(placeholder)))
	}
	if len(s.renders) == 0 {
		return nil, errors.New("no request to send")
	}
	return s, nil
}

// Next implements load.Workload; the id is the number's index in phones.
func (s *sends) Next(dst []byte) ([]byte, uint64, bool) {
	if s.left.Add(-1) < 0 {
		return dst, 0, false
	}
	turn := s.count.Add(1) % uint64(len(s.renders))
	index := s.phones.next.Add(1) - 1
	dst = append(dst, s.renders[turn]...)
	s.phones.Append(dst[:s.digits[turn]], index)
	return dst, index, true
}

// challenge is a code that was sent and not used yet.
type challenge struct{ phoneID, code string }

// authentications uses each challenge once.
type authentications struct {
	template   *wire.Template
	challenges []challenge
	next       atomic.Uint64
}

// Next implements load.Workload.
func (a *authentications) Next(dst []byte) ([]byte, uint64, bool) {
	i := a.next.Add(1) - 1
	if i >= uint64(len(a.challenges)) {
		return dst, 0, false
	}
	c := a.challenges[i]
	return a.template.Append(dst, `{"phoneId":"`, c.phoneID, `","otp":"`, c.code, `"}`), i, true
}
