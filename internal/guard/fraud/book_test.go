package fraud

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestBook: whatever happens to cells, each has its own slots, in order, and what they
// come to is known.
func TestBook(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const window = 40
		b, model := newBook(), make(map[Key]map[int32]uint32)
		now := int32(1000)
		for range rapid.IntRange(1, 300).Draw(rt, "steps") {
			k := Key{Scope(rapid.IntRange(int(Exchange), int(Device)).Draw(rt, "scope")), rapid.Uint64Range(1, 3).Draw(rt, "id")}
			c, slots := b.find(k), model[k]
			if (c == nil) != (slots == nil) {
				rt.Fatalf("%v: found %v, want %v", k, c, slots)
			}
			switch op := rapid.SampledFrom([]string{"add", "add", "add", "late", "prune", "cut", "drop", "copy"}).Draw(rt, "op"); {
			case op == "copy":
				b = b.copied(&cell{})
			case op == "add" || op == "late":
				if c == nil {
					c, model[k] = b.open(k), make(map[int32]uint32)
					slots = model[k]
				}
				at := now - rapid.Int32Range(0, 2*window).Draw(rt, "late")
				if op == "add" {
					now += rapid.Int32Range(0, 2).Draw(rt, "pass")
					at = now
				}
				b.add(c, at, counts{Fresh: 1}, 0, window)
				if last := latest(slots); len(slots) > 0 && at <= last-window {
					break // it is past
				} else if at > last {
					maps.DeleteFunc(slots, func(old int32, _ uint32) bool { return old <= at-window })
				}
				slots[at]++
			case c == nil:
			case op == "prune":
				last := now - rapid.Int32Range(0, window).Draw(rt, "before")
				b.prune(c, last)
				maps.DeleteFunc(slots, func(at int32, _ uint32) bool { return at <= last })
			case op == "cut":
				last := now - rapid.Int32Range(0, window).Draw(rt, "after")
				b.cut(c, last)
				maps.DeleteFunc(slots, func(at int32, _ uint32) bool { return at > last })
			case op == "drop":
				b.drop(k)
				delete(model, k)
			}
			check(rt, b, model)
		}
	})
}

func latest(slots map[int32]uint32) int32 {
	last := int32(0)
	for at := range slots {
		last = max(last, at)
	}
	return last
}

func check(rt *rapid.T, b *book, model map[Key]map[int32]uint32) {
	total, loose := 0, 0
	for k, slots := range model {
		c := b.find(k)
		if c == nil {
			rt.Fatalf("%v is lost", k)
		}
		fresh := int32(0)
		var at []int32
		for _, s := range b.of(c) {
			if s.counts.Fresh != slots[s.at] {
				rt.Fatalf("%v at %d: %d, want %d", k, s.at, s.counts.Fresh, slots[s.at])
			}
			at = append(at, s.at)
			fresh += int32(s.counts.Fresh)
		}
		if want := slices.Sorted(maps.Keys(slots)); !slices.Equal(at, want) || c.fresh != fresh {
			rt.Fatalf("%v: slots %v and %d challenges, want %v and %d", k, at, c.fresh, want, fresh)
		}
		total += len(at)
		if k.loose() {
			loose++
		}
	}
	if b.slots != total || b.loose != loose || len(b.index) != len(model) {
		rt.Fatalf("%d slots, %d loose of %d; want %d, %d, %d", b.slots, b.loose, len(b.index), total, loose, len(model))
	}
}

// TestPack: a key is known by its scope and as much of its digest as there is room for.
func TestPack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want Key }{
		{Key{}, Key{}},
		{Key{Block, 2125551}, Key{Block, 2125551}},
		{Key{Device, 1<<61 - 1}, Key{Device, 1<<61 - 1}},
		{Key{Device, 1<<64 - 1}, Key{Device, 1<<61 - 1}},
	} {
		if got := unpack(tt.in.pack()); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.in, got, tt.want)
		}
	}
}

// TestGivenBack: what an attack made is given back after it.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	b := newBook()
	for id := range uint64(30_000) {
		c := b.open(Key{Block, id})
		b.add(c, 1, counts{Sends: 1}, 0, 720)
	}
	if b.wasteful() {
		t.Error("all of it is in use")
	}
	for id := range uint64(29_000) {
		b.drop(Key{Block, id})
	}
	if !b.wasteful() {
		t.Fatal("most of it lies idle")
	}
	if b = b.copied(&cell{}); b.wasteful() || len(b.index) != 1000 || b.cells.made != 1000 || b.slots != 1000 {
		t.Errorf("%d keys, %d cells, %d slots; want 1000", len(b.index), b.cells.made, b.slots)
	}
}
