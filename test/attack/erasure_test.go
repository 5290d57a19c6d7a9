package attack_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/redis/rueidis"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"codeword/api"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/redis/redistest"
	"codeword/test/testserver"
)

// erasedAnswer is that of DELETE /admin/v1/phones/{phoneId}.
type erasedAnswer struct {
	Erased map[string]int  `json:"erased"`
	Kept   map[string]bool `json:"kept"`
}

// onPhone calls the admin listener about a phone.
func onPhone(t *testing.T, s *testserver.Server, method, path, client string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.AdminURL+"/admin/v1/phones/"+path+"?client="+url.QueryEscape(client), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// traces are what a database holds of one phone: by name its ids, digests and sealed
// bytes.
func traces(t *testing.T, s *testserver.Server, phone uuid.UUID) map[string][]byte {
	t.Helper()
	const ofPhone = `SELECT 'number', sealed FROM phones WHERE phone_id = %[1]s UNION ALL SELECT 'devices', devices FROM phones WHERE phone_id = %[1]s`
	const ids = ` UNION ALL SELECT 'user', %[2]s(user_id) FROM phones WHERE phone_id = %[1]s
		UNION ALL SELECT 'session', %[2]s(session_id) FROM sessions WHERE phone_id = %[1]s
		UNION ALL SELECT 'message', %[2]s(message_id) FROM messages WHERE phone_id = %[1]s
		UNION ALL SELECT 'challenge', %[2]s(challenge_id) FROM messages WHERE phone_id = %[1]s
		UNION ALL SELECT 'idempotency key', idempotency_key FROM idempotency WHERE phone_id = %[1]s`
	out := map[string][]byte{"phone": phone[:]}
	put := func(name string, value []byte) {
		if len(value) > 0 {
			out[fmt.Sprintf("%s %d", name, len(out))] = value
		}
	}
	if s.Database() == "" {
		conn, err := sqlite.OpenConn(filepath.Join(s.Data, "codeword.db"), sqlite.OpenReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		err = sqlitex.Execute(conn, fmt.Sprintf(ofPhone+ids, "x'"+hex.EncodeToString(phone[:])+"'", ""), &sqlitex.ExecOptions{
			ResultFunc: func(st *sqlite.Stmt) error {
				b := make([]byte, st.ColumnLen(1))
				st.ColumnBytes(1, b)
				put(st.ColumnText(0), b)
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	conn, err := pgx.Connect(t.Context(), s.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	rows, _ := conn.Query(t.Context(), fmt.Sprintf(ofPhone+ids, "'"+phone.String()+"'", "uuid_send")) // told by Err
	for rows.Next() {
		var name string
		var value []byte
		if err := rows.Scan(&name, &value); err != nil {
			t.Fatal(err)
		}
		put(name, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// keyspace is all that a Redis holds: keys and values.
func keyspace(t *testing.T, address string) (out []byte) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{u.Host}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	keys, err := c.Do(t.Context(), c.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		value, err := c.Do(t.Context(), c.B().Dump().Key(key).Build()).ToString()
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(append(out, key...), ' '), value...)
	}
	return out
}

// written are the forms in which bytes may stand in a database.
func written(value []byte) [][]byte {
	out := [][]byte{value, []byte(hex.EncodeToString(value)), []byte(base64.StdEncoding.EncodeToString(value))}
	if id, err := uuid.FromBytes(value); err == nil {
		out = append(out, []byte(id.String()))
	}
	return out
}

// foundIn counts the traces that are in a place, and tells which.
func foundIn(traces map[string][]byte, place []byte) (names []string) {
	for name, value := range traces {
		for _, form := range written(value) {
			if bytes.Contains(place, form) {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

func TestErasureLeavesNothing(t *testing.T) {
	t.Parallel()
	t.Run("engine under test", func(t *testing.T) {
		t.Parallel()
		erasureLeavesNothing(t, testserver.Options{})
	})
	t.Run("Redis before PostgreSQL", func(t *testing.T) {
		t.Parallel()
		postgrestest.Need(t)
		erasureLeavesNothing(t, testserver.Options{Database: postgrestest.New(t), Ephemeral: redistest.New(t)})
	})
}

func erasureLeavesNothing(t *testing.T, opts testserver.Options) {
	t.Helper()
	s := testserver.Start(t, opts)
	cred := s.CreateClient("erased", true, `{"codeLength":10}`)
	c := callAs(t, s.Endpoint, cred)
	const to, other = "+16502184711", "+16502188642"
	device := header{api.HeaderDeviceFingerprint, `{"deviceId":"device-5e1f0a77"}`}
	id := ""
	for i := range 3 {
		var code string
		id, code = c.mustStart(to, device, idempotency(fmt.Sprint("erasure-", i)))
		if i < 2 {
			c.mustAuthenticate(id, code, device)
		}
	}
	neighbor := c.mustSignIn(other)
	phone := uuid.MustParse(id[len(id)-36:])
	// What the export tells is what there is to find.
	var export struct {
		PhoneNumber string            `json:"phoneNumber"`
		Messages    []json.RawMessage `json:"messages"`
		Sessions    []struct {
			ID string `json:"id"`
		} `json:"sessions"`
		Devices []string `json:"devices"`
	}
	if status := onPhone(t, s, http.MethodGet, id+"/export", cred.ID, &export); status != http.StatusOK || export.PhoneNumber != to ||
		len(export.Messages) != 3 || len(export.Sessions) != 2 || len(export.Devices) != 1 {
		t.Errorf("export: %d %+v", status, export)
	}
	found := traces(t, s, phone)
	for i := range export.Sessions {
		sess := uuid.MustParse(export.Sessions[i].ID)
		found[fmt.Sprint("session of the export ", i)] = sess[:]
	}
	rest := func() []byte {
		place := database(t, s)
		if opts.Ephemeral != "" {
			place = append(place, keyspace(t, opts.Ephemeral)...)
		}
		return place
	}
	s.Stop()
	before, total := foundIn(found, rest()), len(found)
	if len(before) < total-1 || total < 10 { // what expires may be told in another form
		t.Errorf("only %d of %d traces are found before the erasure", len(before), total)
	}
	s.Restart()
	c = callAs(t, s.Endpoint, cred)

	var done, again erasedAnswer
	if status := onPhone(t, s, http.MethodDelete, id, cred.ID, &done); status != http.StatusOK || done.Erased["messages"] != 3 ||
		done.Erased["phones"] != 1 || done.Erased["users"] != 1 || done.Erased["devices"] != 1 || done.Erased["sessions"] != 2 {
		t.Errorf("erase: %d %+v", status, done)
	}
	if status := onPhone(t, s, http.MethodDelete, id, cred.ID, &again); status != http.StatusOK {
		t.Errorf("a second call: %d", status)
	}
	for kind, n := range again.Erased {
		if n != 0 {
			t.Errorf("a second call erased %d %s", n, kind)
		}
	}
	if a := c.session(neighbor); a.status != http.StatusOK {
		t.Errorf("another phone's session: %s", a)
	}
	s.Stop()
	// The phone's id stays in the trail, in text, and beside Redis for a day, since messages
	// may be on their way.
	delete(found, "phone")
	place := rest()
	for _, name := range foundIn(found, place) {
		t.Errorf("the %s is still there", name)
	}
	if s.Database() == "" && bytes.Contains(place, phone[:]) {
		t.Error("the phone's id is still there")
	}
	if strings.Contains(string(place), to[1:]) {
		t.Error("the number is in the database")
	}
	report(t, "erasure", "ids, digests and sealed bytes of an erased phone in database, WAL and Redis",
		"%d of %d found before, %d after", len(before), total, len(foundIn(found, place)))
	if s.Database() == "" {
		if _, err := os.Stat(filepath.Join(s.Data, "codeword.db-wal")); err == nil {
			t.Error("the log is still there after a clean stop")
		}
	}
}
