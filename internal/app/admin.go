package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"codeword/internal/carrier/inbox"
	"codeword/internal/tenant"
)

func (n *node) wireAdmin() error {
	view := inbox.NewView(inbox.Config{
		Clients:  func(context.Context) ([]*tenant.Client, error) { return n.clients.Clients(), nil },
		Messages: n.store.Messages,
		Open:     n.otp.Number,
		Code:     n.messageCode,
		PhoneIDs: n.otp.PhoneIDs,
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/v1/inbox", func(w http.ResponseWriter, r *http.Request) {
		e, err := view.List(r.Context(), inbox.Query{To: r.URL.Query().Get("to")})
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		_ = json.NewEncoder(w).Encode(inbox.Page{Messages: e})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	n.admin = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return nil
}
