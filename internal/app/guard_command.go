package app

type guardCommand struct {
	Simulate guardSimulate `cmd:"" help:"Replay recorded or synthetic traffic and tell what would have been held back, when, and what was saved."`
}
