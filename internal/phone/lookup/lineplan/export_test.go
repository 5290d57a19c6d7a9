package lineplan

// Bound lowers how much the files may have in all.
func (im *Import) Bound(n int64) { im.left = n }

// ReadRules reads rules as the embedded ones are.
func ReadRules(text string) error {
	_, err := readRules(text)
	return err
}
