package routing_test

import (
	"context"
	"testing"
	"time"

	"codeword/internal/carrier/carriertest"
	"codeword/internal/phone"
	"codeword/internal/routing"
	"codeword/internal/store"
)

// BenchmarkPlan tells what it costs to route one message over three routes, of
// which all but the carrier's own work is part.
func BenchmarkPlan(b *testing.B) {
	main, backup, third := via("main", 0), via("backup", 1), via("third", 1)
	main.Rate = 1e9
	r, err := routing.New(routing.Config{Inbox: carriertest.NewFake("inbox", nil), Routes: []routing.Route{main, backup, third}})
	if err != nil {
		b.Fatal(err)
	}
	client := live()
	to, err := phone.Parse("+16502530000")
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	m := &store.Message{Status: store.MessageQueued, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p := r.Plan(client, m, to)
			leg, err := p.Next(context.Background(), time.Now())
			if err != nil {
				b.Error(err)
				return
			}
			p.Done(leg, nil)
		}
	})
}
