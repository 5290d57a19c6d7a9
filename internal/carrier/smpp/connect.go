package smpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"codeword/internal/carrier"
)

// bindError is an SMSC's refusal of a bind.
type bindError struct {
	bind   command
	status status
}

// Error says what was refused and what an operator can do about it.
func (e *bindError) Error() string {
	text := fmt.Sprintf("smpp: %v refused with %v", e.bind, e.status)
	if advice := bindAdvice[e.status]; advice != "" {
		text += ": " + advice
	}
	return text
}

// misconfigured tells whether it takes an operator to get in.
func (e *bindError) misconfigured() bool {
	return e.status == statusBindFailed || e.status.reason() == carrier.ReasonMisconfigured
}

// connect dials and binds. ctx ends both; each step may take ResponseTimeout.
func connect(ctx context.Context, cfg *settings, bind command) (net.Conn, *reader, error) {
	conn, err := dial(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	rd, err := bindOn(conn, cfg, bind)
	if !stop() && err == nil { // ctx ended, and took the connection with it
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, nil, err
	}
	return conn, rd, nil
}

func dial(ctx context.Context, cfg *settings) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.ResponseTimeout)
	defer cancel()
	conn, err := cfg.Dial(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("smpp: cannot connect: %w", err)
	}
	if cfg.tls == nil {
		return conn, nil
	}
	secure := tls.Client(conn, cfg.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		var record tls.RecordHeaderError
		if errors.As(err, &record) {
			return nil, errors.New("smpp: TLS handshake: the carrier does not speak TLS at this address")
		}
		return nil, fmt.Errorf("smpp: TLS handshake: %w", err)
	}
	return secure, nil
}

// bindOn binds a fresh connection. A bind_resp counts with and without
// sc_interface_version, and even without system_id: only its status matters.
func bindOn(conn net.Conn, cfg *settings, bind command) (*reader, error) {
	if err := conn.SetWriteDeadline(time.Now().Add(cfg.ResponseTimeout)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(appendBind(nil, header{command: bind, sequence: 1}, &cfg.Config)); err != nil {
		return nil, fmt.Errorf("smpp: %v: %w", bind, err)
	}
	rd := newReader(conn, cfg.ResponseTimeout, cfg.ResponseTimeout)
	h, _, err := rd.next()
	switch {
	case err != nil:
		return nil, fmt.Errorf("smpp: no answer to %v: %w", bind, err)
	case h.command != bind|responseBit && h.command != genericNack:
		return nil, fmt.Errorf("smpp: %v was answered with %v: is this an SMPP port?", bind, h.command)
	case h.status != statusOK:
		return nil, &bindError{bind: bind, status: h.status}
	case h.command == genericNack:
		return nil, fmt.Errorf("smpp: %v was answered with generic_nack", bind)
	}
	rd.idle = cfg.EnquireInterval + cfg.ResponseTimeout
	return rd, nil
}

// goodbye unbinds a connection that has no session, and closes it.
func goodbye(conn net.Conn, rd *reader, wait time.Duration) {
	defer func() { _ = conn.Close() }()
	if conn.SetWriteDeadline(time.Now().Add(wait)) != nil {
		return
	}
	if _, err := conn.Write(appendHeader(nil, header{command: unbind, sequence: 2})); err != nil {
		return
	}
	rd.idle, rd.patience = wait, wait
	for range 100 { // receipts may come before the answer; they come again
		if h, _, err := rd.next(); err != nil || h.command == unbindResp {
			return
		}
	}
}
