package fraud

// pool hands out blocks of one, two or four values, from chunks that are never moved. As
// T has no pointers, the garbage collector does not look into them, however many there
// are.
type pool[T any] struct {
	chunks [][]T
	made   uint32            // how many values the chunks have given
	free   [classes][]uint32 // blocks that nobody has, by class
}

const (
	// classes of blocks there are: one has 1<<class values.
	classes = 3
	// chunkLen is how many values a chunk has.
	chunkLen = 64
)

// take hands out a block; what is in it is left from before.
func (p *pool[T]) take(class uint8) uint32 {
	if n := len(p.free[class]); n > 0 {
		i := p.free[class][n-1]
		p.free[class] = p.free[class][:n-1]
		return i
	}
	if class+1 < classes { // one half of a larger one
		i := p.take(class + 1)
		p.give(i+1<<class, class)
		return i
	}
	if p.made%chunkLen == 0 {
		p.chunks = append(p.chunks, make([]T, chunkLen))
	}
	p.made += 1 << class
	return p.made - 1<<class
}

// give takes a block back.
func (p *pool[T]) give(i uint32, class uint8) { p.free[class] = append(p.free[class], i) }

// at is a block.
func (p *pool[T]) at(i uint32, class uint8) []T {
	from, size := i%chunkLen, uint32(1)<<class
	return p.chunks[i/chunkLen][from : from+size : from+size]
}

// idle is how many values are in blocks that nobody has.
func (p *pool[T]) idle() int {
	n := 0
	for class, free := range p.free {
		n += len(free) << class
	}
	return n
}
