package message

import "sync"

// builtin is a language in which texts are written for clients that bring none.
type builtin struct {
	locale string
	// texts are the same from long to short; the first one that fits is used.
	texts []string
}

// builtins are the texts in the languages most spoken at home in the United
// States. The code comes first, where notifications and the code autofill of
// phones look for it; there is no link, which filters take for phishing. The
// short ones fit 70 UTF-16 code units with a brand of 32 and a code of 10.
//
// Languages are written as people write them, accents and all, even where that
// takes UCS-2: it is one segment all the same. That goes for Vietnamese in
// particular, which can be read in plain ASCII, as some carriers in Vietnam send
// it, but by guessing at words that differ in nothing but their marks.
var builtins = []builtin{
	{"en", []string{
		"{code} is your {brand} verification code. Don't share it.",
		"{code} is your {brand} code.",
	}},
	{"es", []string{
		"{code} es tu código de verificación de {brand}. No lo compartas.",
		"{code} es tu código de {brand}. No lo compartas.",
		"{code} es tu código de {brand}.",
	}},
	{"fr", []string{
		"{code} est votre code de vérification {brand}. Ne le partagez pas.",
		"{code} est votre code {brand}.",
	}},
	{"zh", []string{
		"{code} 是您的 {brand} 验证码，请勿告知他人。",
		"{code} 是您的 {brand} 验证码。",
	}},
	{"zh-Hant", []string{
		"{code} 是您的 {brand} 驗證碼，請勿告訴他人。",
		"{code} 是您的 {brand} 驗證碼。",
	}},
	{"vi", []string{
		"{code} là mã xác minh {brand} của bạn. Không chia sẻ mã này.",
		"{code} là mã xác minh {brand} của bạn.",
		"{code} là mã {brand} của bạn.",
	}},
	{"fil", []string{
		"{code} ang iyong verification code sa {brand}. Huwag itong ibahagi.",
		"{code} ang iyong {brand} code.",
	}},
	{"ko", []string{
		"{code} - {brand} 인증번호입니다. 타인에게 알려주지 마세요.",
		"{code} - {brand} 인증번호입니다.",
	}},
	{"pt", []string{
		"{code} é seu código de verificação {brand}. Não compartilhe.",
		"{code} é seu código {brand}. Não compartilhe.",
		"{code} é seu código {brand}.",
	}},
	{"ru", []string{
		"{code} - ваш код {brand}. Никому его не сообщайте.",
		"{code} - ваш код {brand}.",
	}},
	{"ar", []string{
		"{code} هو رمز التحقق الخاص بك من {brand}. لا تشاركه مع أحد.",
		"{code} هو رمز التحقق الخاص بك من {brand}.",
		"{code} هو رمزك من {brand}.",
	}},
}

// builtinOf returns the built-in texts of a locale, or nil.
func builtinOf(locale string) *builtin {
	for i := range builtins {
		if builtins[i].locale == locale {
			return &builtins[i]
		}
	}
	return nil
}

// builtinMatcher matches against all built-in locales. Almost every client can
// share it, and it takes a while to make.
var builtinMatcher = sync.OnceValue(func() *matcher {
	locales := make([]string, len(builtins))
	for i := range builtins {
		locales[i] = builtins[i].locale
	}
	return newMatcher(locales)
})

// Replies to keywords, from long to short. The long ones say what CTIA's
// Messaging Principles and carriers ask for; the short ones fit
// 70 UTF-16 code units with a brand of 32.
var (
	stopped = []string{
		"{brand}: You have opted out and will get no more messages. Reply START to get them again.",
		"{brand}: You opted out. START undoes.",
	}
	started = []string{
		"{brand}: You will get verification codes again. Reply HELP for help, STOP to opt out.",
		"{brand}: You are back. STOP opts out.",
	}
	help = []string{
		"{brand}: verification codes that you asked for. Msg & data rates may apply. Reply STOP to opt out.",
		"{brand}: codes you ask for. STOP ends.",
	}
)
