package console

import (
	"codeword/internal/screening"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// guardClient is what the guard may do with a client's sends, and does.
type guardClient struct {
	ID, Name, Mode string
	Live, Unread   bool
	// Held and Watched count what is held back now, and what only would be.
	Held, Watched int
	Safe          []safeList
}

// safeList is a part of a client's safe lists.
type safeList struct {
	// Name is numbers, blocks, exchanges or addresses.
	Name string
	// Shown are the first of it, numbers by their last four digits, and More how many
	// there are beside.
	Shown []string
	More  int
}

// maxSafeShown is how much of a safe list the page shows.
const maxSafeShown = 20

// guardClients tells of each client.
func guardClients(rows []store.Client, holds []screening.Hold) []guardClient {
	held, watched := map[string]int{}, map[string]int{}
	for i := range holds {
		switch h := &holds[i]; h.Effect() {
		case screening.Alarms:
		case screening.HoldsBack:
			held[h.Client]++
		case screening.Watches:
			watched[h.Client]++
		}
	}
	out := make([]guardClient, len(rows))
	for i, row := range rows {
		out[i] = guardClient{ID: row.ID, Name: row.Name, Live: row.Live, Held: held[row.ID], Watched: watched[row.ID]}
		s, err := tenant.ParseSettings(row.Settings)
		if err != nil {
			out[i].Unread = true
			continue
		}
		out[i].Mode, out[i].Safe = s.FraudGuard, safeLists(&s)
	}
	return out
}

// safeLists sorts the safe numbers by how many numbers each entry stands for, which its
// length tells; see tenant.Settings.
func safeLists(s *tenant.Settings) (out []safeList) {
	by := map[string][]string{}
	for _, entry := range s.SafeNumbers {
		name := "numbers"
		switch len(entry) {
		case len("+1206555"):
			name = "exchanges"
		case len("+12065550"):
			name = "blocks"
		}
		by[name] = append(by[name], entry)
	}
	by["addresses"] = s.SafeAddresses
	for _, name := range []string{"numbers", "blocks", "exchanges", "addresses"} {
		all := by[name]
		if len(all) == 0 {
			continue
		}
		shown := all[:min(len(all), maxSafeShown)]
		if name == "numbers" {
			shown = masked(shown)
		}
		out = append(out, safeList{name, shown, len(all) - len(shown)})
	}
	return out
}
