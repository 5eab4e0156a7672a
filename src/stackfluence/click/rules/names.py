"""What robots call themselves, by kind: tables of documented names and of words that only robots use.

The first table with a name that fits decides. Names are matched without regard to case in the user agent without the
phone's model. Sources: the operators' own pages on their robots, as of 2026.
"""

from __future__ import annotations

from functools import lru_cache

from stackfluence.click.rules.patterns import REMEMBERED, Patterns, Tables
from stackfluence.vocabulary import TrafficReason

_R = TrafficReason

ATTACKS = (
    r"\$\{", r"%(?:24|25)?%?7bjndi", r"\.\./", r"\.\.\\", r"%2e%2e|\.\.%2f|%252e", r"/etc/(?:passwd|shadow|hosts)",
    r"/bin/(?:ba)?sh", r"/dev/tcp/", r"\(\)\s*\{", r"</?(?:script|svg|iframe|img|meta|style)\b", r"&lt;/?\w+",
    r"<\?php", r"<!--#", r"javascript:", r"on(?:load|error|mouseover)\s*=", r"alert\s*\(",
    r"\bunion\b.*\bselect\b", r"\bselect\b.*\bfrom\b",
    r"\b(?:sleep|benchmark|waitfor|pg_sleep|nslookup|gethostbyname|eval|system|phpinfo|exec|print|chr|md5)\s*\(",
    r"\bwaitfor\s+delay", r"\border by \d", r"\bwhere \d+=\d", r"\bnslookup\b",
    r"['\x22)] ?(?:or|and) ['\x22(]?[\d'\x22]", r"['\x22]\s*(?:\|\||&&)|[^)]['\x22]\s*;",
    r"\{\{.+\}\}", r"!!\w+\.", r"\$\(|`",
    r"(?:wget|curl)\s+-?\S*\s*https?://", r"\bacunetix\b", r"oastify|interact\.sh|burpcollaborator|\bbxss\.me",
    r"%00|\\x00|\\u0000|%0d%0a", r"\$class\b|objectinputstream|\bjava\.lang\.", r"\bboot\.ini\b", r"\bxp_cmdshell\b",
)  # fmt: skip
PREVIEWS = (
    r"facebookexternalhit", r"facebookcatalog", r"facebook\.com/(?:legal|externalhit)", r"\bfacebot\b",
    r"meta-externalfetcher", r"slackbot", r"slack-imgproxy", r"twitterbot", r"linkedinbot", r"^whatsapp/",
    r"telegrambot", r"discordbot", r"discord(?:app)?\.com", r"skypeuripreview", r"microsoftpreview", r"teamsbot",
    r"\bpinterest(?:bot|/0)", r"redditbot", r"snap url preview", r"^snapchat/", r"snapchat ?ads", r"vkshare",
    r"viberbot|^viber/", r"kakaotalk-scrap", r"line-poker", r"linespider", r"iframely", r"embedly", r"^mastodon/",
    r"http\.rb/.*mastodon",
    r"pleroma|akkoma|misskey|friendica|lemmy|pixelfed|peertube|gotosocial|bookwyrm|hubzilla|diaspora|kbin|sharkey"
    r"|firefish|calckey|iceshrimp|mobilizon|writefreely",
    r"bluesky|cardyb", r"bingpreview", r"web ?preview", r"google-pagerenderer|googlesnippet|google-extended-preview",
    r"(?:link|url|page|site|social|uri)[ _-]?(?:preview|expand|unfurl)", r"preview(?:er|bot|/|\b.{0,3}$)", r"unfurl",
    r"onebox", r"xing-contenttabreceiver", r"flipboard(?:proxy|bot)", r"bitlybot", r"tumblr", r"nuzzel",
    r"zoom(?:bot|marketplace| marketplace)", r"imessage", r"applenewsbot", r"wachat", r"vk(?:robot|share)",
    r"opengraph|open graph|ogp?-?(?:bot|scraper|fetch)", r"synology chat|^mattermost",
    r"signal-desktop|threema|qwantify",
)  # fmt: skip
MAIL_SCANNERS = (
    r"barracuda", r"mimecast", r"proofpoint", r"safelinks|safe links", r"googleimageproxy", r"yahoomailproxy",
    r"ironport", r"cloudmark", r"spamassassin", r"mailscanner", r"messagelabs", r"symantec", r"sophos",
    r"trendmicro|trend micro", r"fireeye", r"forcepoint", r"zscaler", r"urldefense", r"clamav", r"mailguard",
    r"mail\.?proxy",
)  # fmt: skip
MONITORS = (
    r"uptime", r"pingdom", r"statuscake", r"site24x7", r"\bptst\b", r"speedcurve", r"datadog", r"newrelic|new relic",
    r"ruxit|dynatrace", r"synthetic", r"catchpoint", r"gomez", r"keynote|ktxn", r"zabbix", r"nagios|check_http",
    r"prtg", r"icinga", r"better ?stack", r"hetrix", r"freshping", r"checkly", r"debugbear", r"updown\.io", r"jetmon",
    r"\bmonit/", r"health-?check|healthz", r"^googlehc", r"kube-probe", r"prometheus|blackbox", r"consul health",
    r"dareboost", r"gtmetrix", r"pagespeed", r"lighthouse", r"alertsite", r"sitescope", r"dejaclick", r"wormly",
    r"montastic", r"host-?tracker", r"oh ?dear", r"cronitor", r"pinger\b|pingbot|\bping(?:er)?/",
    r"(?:web|site|server|url|page|link|service|host|http)[ _-]?(?:monitor|alive|status|watch)",
    r"\bmonitor(?:ing|bot|s|e|ed|\b)", r"availability", r"appdynamics|splunk|thousandeyes|solarwinds|grafana|sentry",
)  # fmt: skip
AGENTS = (
    # as ChatGPT-User, of who fetches a page because somebody asked an assistant about it; phones' builds say `-user`
    r"(?-i:\b[A-Z][A-Za-z0-9]+-User/\d)",
    r"gptbot|chatgpt|oai-searchbot|openai", r"claude", r"anthropic", r"perplexity",
    r"google-(?:extended|cloudvertexbot|notebooklm|gemini)", r"googleagent|gemini-deep|vertex",
    r"bytespider|tiktokspider", r"\bccbot\b", r"cohere", r"meta-external(?:agent|bot)|facebookbot",
    r"amazonbot|nova ?act", r"applebot-extended", r"diffbot", r"imagesiftbot", r"omgili|webzio", r"youbot", r"timpibot",
    r"duckassist", r"mistral", r"ai2bot", r"kangaroo bot", r"pangubot", r"\bgrok|xai-", r"deepseek",
    r"\bmanus\b|manus-", r"devin\b", r"iaskbot|iask", r"\bai[-_ ]?(?:bot|agent|crawler|search|spider)", r"phindbot",
    r"firecrawl", r"crawl4ai", r"\bllm\b|llms?[-_]", r"exabot|exa-", r"tavily", r"quillbot", r"andibot", r"cotoyogi",
    r"sbintuitions", r"velenpublic",
)  # fmt: skip
HEADLESS = (
    r"headless", r"phantomjs", r"slimerjs", r"casperjs", r"playwright", r"puppeteer", r"selenium|webdriver",
    r"cypress/", r"nightmare", r"htmlunit", r"\bsplash\b safari", r"splash$", r"jsdom", r"zombie\.?js",
    r"webkit2png|wkhtmlto|cutycapt|screenshot", r"prerender|rendertron|renderer?/", r"testcafe",
    r"browserless|browserkit", r"hermiona", r"webkit2pdf", r"(?-i:like Gecko\) [a-z][\w-]* Safari/)", r"wechatdevtools",
)  # fmt: skip
LIBRARIES = (
    r"^(?:python|py)(?:[-/ _]|thon|$)", r"python-(?:requests|urllib|httpx|aiohttp)|python/\d",
    r"\bcurl/|^curl|\blibcurl|pycurl", r"\bwget", r"libwww-perl|^libwww/|lwp[-:]", r"^java(?:[/ -]|$)", r"^java/\d",
    r"go-http|go-resty|^go ", r"okhttp", r"axios", r"node(?:-fetch|\.?js|-superagent|/)", r"\bgot[ /(]", r"undici",
    r"^(?:php|perl|ruby|rust|dart|lua|elixir|erlang|scala|kotlin|swift|deno|bun)\b", r"guzzle",
    r"apache-httpclient|httpclient|http[-_ ]client|httpunit", r"postman|insomnia|httpie|paw/|hoppscotch|bruno",
    r"reqwest|hyper/|\bureq", r"faraday|typhoeus|httparty|rest-client|mechanize|excon",
    r"restsharp|refit|unirest|jersey|resttemplate|retrofit|volley|feign", r"winhttp|wininet|winhttprequest|xmlhttp",
    r"aiohttp|httpx|urllib|pycurl|requests/", r"scrapy|colly|beautifulsoup|goquery", r"cfnetwork/", r"nsurlsession",
    r"^dalvik/|,dalvik", r"^applecoremedia", r"^stagefright|^libmpv|^lavf/|^vlc/|libvlc|^gstreamer",
    r"ktor|akka-http|async-?http|hackney|finch", r"jakarta|commons-http",
    r"snoopy|symfony|zend|wordpress|drupal|joomla|simplepie|magpie",
    r"aria2|axel|httrack|webcopier|teleport|webzip|offline explorer|getright|flashget",
    r"^git/|^svn|^docker|^kubectl|^helm|^terraform|^ansible|^apt|maven|gradle|^pip/|^npm/|^yarn",
    r"aws-(?:sdk|internal|cli)|\bboto3?|azure-|gcloud|google-api",
    # ASIHTTPRequest
    r"^[^()/]{1,60} [\d.]+ \((?:iphone|ipad|ipod[^;]*|macintosh); (?:iphone|mac) os (?:x )?[\d._]+; \w\w_\w\w\)",
    r"; scale/[\d.]+\)$",  # AFNetworking
    r"ms web services client protocol",  # .NET
    r"^microsoft (?:bits|url|data|crypto)|microsoft-(?:webdav|cryptoapi|atl)",
    r"libhttp|http_request|http-?get|httpget|http\.rb|net::http|lib(?:soup|fetch|curl)|neon/|serf/",
    r"^mozilla/5\.0 zgrab|zgrab|masscan|nmap|nikto|sqlmap|nuclei|dirbuster|gobuster|wpscan|w3af|nessus|openvas"
    r"|fuzz|arachni|netsparker|qualys",
)  # fmt: skip
ROBOTS = (
    r"(?:^|[^u])bots?(?:[^a-z]|$)", r"bot[/_-]", r"(?-i:[a-z]Bot(?:[A-Z]|\b))", r"crawl", r"spider", r"robot", r"slurp",
    r"scrap(?:e|y|ing)", r"harvest", r"archiver|archive\.org", r"\+ ?https?:",
    r"mediapartners|adsbot|apis-google|feedfetcher", r"appengine",
    r"wappalyzer|builtwith|netcraft|censys|shodan|internet-?measurement|expanse",
    r"semrush|ahrefs|majestic-?12|evaliant|siteimprove|siteanalyzer", r"captivenetwork", r"\d subscribers",
)  # fmt: skip
# what tells a service's robot from its app
ROBOT_WORDS = Patterns(
    (
        r"bot(?:[^a-z]|$)",
        r"crawl|spider|scrap",
        r"external(?:hit|agent|fetcher)",
        r"preview|unfurl|fetch|headless"
        r"|puppeteer|playwright|selenium|phantom|monitor|https?:",
    ),
    is_folded=True,
)
# words of what robots do, not their names
WORDS = (
    r"archiv", r"[\w-]+ at (?:gmail|yahoo|hotmail)", r"\bfetch|fetch(?:er|or|bot)?(?:[^a-z]|$)", r"index(?:er|ing|bot)",
    r"scann?(?:er|ing)?(?:[^a-z]|$)", r"checker", r"validator", r"extract(?:or)?\b", r"grabber", r"sitemap",
    r"(?:link|url|site|page|seo|web|html|css|feed|domain|ssl|dead|broken)[ _-]?(?:check|valid|verif|walk|scan"
    r"|analy|audit|extract|test)",
    r"\bfeed(?:er|ly|bin|fetch|parser|reader|burner|press|demon|wrangler|validator|hub|spot|/|[ +-])|\brss\b"
    r"|rss(?:reader|owl|bandit|/)|(?:feed|rss|html) ?parser",
    r"podcast", r"aggregat", r"search(?:engine|bot|er\b)|search engine", r"[a-z0-9._-]+@[a-z0-9-]+\.[a-z]",
    r" at .+ dot ", r"research", r"survey", r"copyright|plagiar", r"analy[sz]er", r"\bseo\b|\bseo[-_a-z]*/",
    r"captive", r"^\s*<", r"thumb(?:nail|shot|/)", r"localsearch", r"\(via ",
)  # fmt: skip

# what programs write anywhere, even into the comment of Internet Explorer, whose engine they use
PROGRAMS = (
    r"https?://", r"www\.[a-z0-9-]+\.", r"; \{\w*\}", r"transcoder", r"googletoolbar \d", r"qqdownload \d",
    r"\b(?:excel|powerpoint|(?:windows)?powershell)/\d",
)  # fmt: skip

_TABLES = (
    (_R.attack, ATTACKS),
    (_R.link_preview, PREVIEWS),
    (_R.ai_agent, AGENTS),
    (_R.mail_scanner, MAIL_SCANNERS),
    (_R.uptime_monitor, MONITORS),
    (_R.headless_browser, HEADLESS),
    (_R.http_library, LIBRARIES),
    (_R.declared_bot, ROBOTS),
)
_ROOM = 16 << 20  # bytes: with 4 MB the automaton of all names starts anew at every other text, 100 times as slow
_NAMES = Tables(("|".join(f"(?:{pattern})" for pattern in patterns) for _, patterns in _TABLES), memory=_ROOM)

BROAD = Patterns(WORDS, is_folded=True)
OWN_REQUESTS = Patterns(PROGRAMS, is_folded=True)


@lru_cache(maxsize=REMEMBERED)
def find(text: str) -> TrafficReason | None:
    """Return what kind of robot a text names, None for none."""
    table = _NAMES.first(text)
    return None if table is None else _TABLES[table][0]
