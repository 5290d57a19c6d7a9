package console

import (
	"net/http"

	"codeword/internal/console/login"
)

// Needs is which role each route needs.
func Needs() map[string]login.Role { return needs }

// Register registers a route of no role, and is what a test wants to fail.
func (c *Console) Register(path string) {
	c.at(http.NewServeMux(), path, asJSON, handlers{http.MethodGet: healthz})
}

// RegisterFree does so for everybody.
func (c *Console) RegisterFree(path string) {
	c.free(http.NewServeMux(), path, http.HandlerFunc(healthz))
}
