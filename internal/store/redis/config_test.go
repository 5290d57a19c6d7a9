package redis_test

import (
	"strings"
	"testing"

	"codeword/internal/store/redis"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"redis://host", "redis://host:6380", "redis://:pass%40word@host/3", "rediss://user:pass@host:1?insecure=true",
		"redis://a:1,b:2,[::1]:3?cluster=true&wait=1&waitaof=2&timeout=500ms&prefix=shop:1", "redis://a,b?sentinel=main&sentinel_password=x", "redis://[::1]",
	} {
		if err := redis.Validate(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, parts := range map[string]int{
		"http://host": 1, "host:6379": 1, "redis://": 1, "redis://host:port": 1, "redis://a,b": 1, "redis://a:1:2": 1,
		"redis://secret:secret%@host":                                   1,
		"redis://:secret@host/x?cluster=perhaps&wait=-1&unheard=secret": 4,
		"redis://:secret@host?insecure=true":                            1,
		"redis://:secret@host?prefix={secret}":                          1,
		"redis://:secret@host/1?cluster=true":                           1,
		"redis://:secret@host?cluster=true&sentinel=x":                  1,
		"redis://:secret@host?timeout=1us&sentinel_passwort=secret":     2,
	} {
		err := redis.Validate(url)
		if err == nil {
			t.Errorf("%s is taken", url)
			continue
		}
		if got := len(strings.Split(err.Error(), "\n")); got != parts {
			t.Errorf("%s: %d errors, want %d: %v", url, got, parts, err)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells a secret: %v", url, err)
		}
	}
}
