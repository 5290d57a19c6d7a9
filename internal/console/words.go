package console

import (
	"codeword/internal/guard/fraud"
	"codeword/internal/routing"
)

// word returns the explanation of what is known, and anything else as it is.
func word(words map[string]string) func(string) string {
	return func(name string) string {
		if text, ok := words[name]; ok {
			return text
		}
		return show(name)
	}
}

var verdicts = map[string]string{
	string(routing.Chosen):        "the message went this way",
	string(routing.Explored):      "the message went this way, to learn how the route fares",
	string(routing.NotAllowed):    "the client's settings do not name this route",
	string(routing.AreaCode):      "this route does not take the number's area code",
	string(routing.Tried):         "the message was handed to this route before",
	string(routing.BreakerOpen):   "this route failed too often just now",
	string(routing.Stalled):       "this route had stopped answering",
	string(routing.Throttled):     "the carrier wanted to be left alone for a while",
	string(routing.Busy):          "the rate of this route was used up",
	string(routing.Unhealthy):     "too few of the codes that this route brings are used",
	string(routing.LowerPriority): "a route of a higher rank could be used",
	string(routing.NotDrawn):      "of several routes of one rank, chance picked another",
}

// statuses are what became of a message.
var statuses = map[string]string{
	"queued":    "waits to be sent",
	"sent":      "a carrier took it",
	"delivered": "the carrier says that it arrived",
	"failed":    "did not arrive",
	"expired":   "was not sent in time",
	"unknown":   "nobody knows whether a carrier took it",
}

// challenges are what became of the code of a message.
var challenges = map[string]string{
	ChallengeOpen:        "it is accepted",
	ChallengeUsed:        "the right code came back",
	ChallengeExhausted:   "too many wrong codes came back, so that it is not accepted any more",
	ChallengeExpired:     "its time ran out, and the right code had not come back",
	ChallengeUnknown:     "what became of it is not known any more",
	ChallengeUnavailable: "that cannot be read now",
}

// lanes are the kinds of callers whose limits are apart.
var lanes = map[string]string{
	"open":  "callers of whom nothing is known",
	"bound": "callers with a session",
	"known": "the owner of the phone",
}

// handedOver are what came of handing a message to a carrier.
var handedOver = map[string]string{
	"queued":    "The carrier did not take it, but another may.",
	"sent":      "The carrier took it.",
	"delivered": "It arrived.",
	"failed":    "The carrier did not take it, and no other is asked.",
	"expired":   "The code ended before a carrier took it.",
	"unknown":   "Nobody knows whether the carrier took it.",
}

// receipts are what carriers report.
var receipts = map[string]string{
	"accepted":  "The carrier has it.",
	"delivered": "The carrier says that it arrived.",
	"failed":    "The carrier says that it did not arrive.",
}

// failures are why a message was not taken, or did not arrive. Those that a carrier has
// alone are shown as they are.
var failures = map[string]string{
	"opted_out":             "the phone replied STOP",
	"invalid_number":        "there is no such number",
	"landline":              "the number is a landline",
	"rejected":              "the carrier refused it for good",
	"carrier_rejected":      "the test number has it fail",
	"expired":               "its time had run out",
	"unreachable":           "the phone cannot be reached",
	"filtered":              "the carrier filtered the text",
	"unavailable":           "the carrier was not available",
	"canceled":              "there was no room on the connection in time",
	"throttled":             "the carrier wants fewer messages",
	"misconfigured":         "the carrier does not accept our credentials, sender or settings",
	"insufficient_funds":    "the account with the carrier has no money left",
	"unregistered_campaign": "the sender's campaign is not registered",
	"timeout":               "no answer came in time",
	"connection_lost":       "the connection was lost before an answer came",
	"unexpected_answer":     "the carrier's answer makes no sense",
	"carrier_error":         "the carrier has a fault of its own",
	"no_route":              "every route was out of order",
	"route_unknown":         "no route may take it",
	"busy":                  "it waited for its turn on a route",
	"no_capacity":           "its turn on a route would have come after the code's end",
	"code_spent":            "its code was used or replaced before it left",
	"gave_up":               "it was tried too often",
	"client_unknown":        "its client is not known",
	"number_unreadable":     "its number cannot be read with this keyset",
	"code_unavailable":      "its code cannot be derived with this keyset",
	"phone_erased":          "the phone was erased",
	"panic":                 "a fault of the service",
	"released":              "a server gave it back when it stopped",
	"interrupted":           "a server stopped while it was on its way",
}

var breakers = map[string]string{
	"closed":    "works",
	"open":      "spared: it failed too often",
	"half-open": "tried again",
}

var scopes = map[string]string{
	fraud.Client.String():   "the whole client",
	fraud.Exchange.String(): "exchange",
	fraud.Block.String():    "thousands-block",
	fraud.Address.String():  "address",
	fraud.Network.String():  "network",
	fraud.Device.String():   "device",
}

var modes = map[string]string{
	"enforce": "held back",
	"shadow":  "shadow: decided, but nothing is held back",
	"off":     "off",
}

var guardReasons = map[fraud.Reason]string{
	fraud.ReasonUnverified: "hardly any of the codes were used",
	fraud.ReasonVolume:     "far more codes than its history tells",
	fraud.ReasonEnumerated: "more numbers of one thousands-block than coincidence explains",
	fraud.ReasonAlarm:      "the client as a whole is under attack",
	fraud.ReasonRelapse:    "it was held back not long ago",
}

func guardReason(r fraud.Reason) string {
	if text, ok := guardReasons[r]; ok {
		return text
	}
	return show(string(r))
}

// hookReasons are why an endpoint is disabled, and what was wrong with an attempt.
var hookReasons = map[string]string{
	"operator":          "an operator wanted it",
	"failing":           "it took nothing for a day",
	"gone":              "it answered that it has gone",
	"status":            "the answer is no success",
	"timeout":           "no answer came in time",
	"forbidden_address": "its name leads to an address that is not public",
	"resolve":           "its name leads nowhere",
	"no_answer":         "there was no connection",
	"secret":            "its secret cannot be read",
}
