"""Who comes to a link when it is posted: what each is publicly documented to send. None of them is a person.

Composed from the makers' own pages (Meta's and Telegram's crawler pages, api.slack.com/robots, LinkedIn's and Discord's
developer pages, the source code of the federated networks' servers, the WICG drafts of prefetch and prerender) and from
reports of people who measure links: dub #2309 (one GET and three HEADs for a post on X), shlink #1613 (a thousand
fetches for a post on Mastodon), mautic #16263, next-auth #1840 and opencollective #3656 (Microsoft's Safe Links).
"""

from __future__ import annotations

from typing import NamedTuple

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Mobile/15E148 Safari/604.1"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"
OLD_SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_6) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/11.1.2 Safari/605.1.15"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36"
)
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
BROWSERS = (CHROME.format("156.0.0.0"), IPHONE, FIREFOX, ANDROID)


class Asked(NamedTuple):
    """One request for the link."""

    method: str
    headers: tuple[tuple[str, str], ...]


def ask(user_agent: str, *more: tuple[str, str], method: str = "GET") -> Asked:
    """Return a request with a user agent and further headers, in that order."""
    return Asked(method, (("User-Agent", user_agent), *more))


_ANY = (("Accept", "*/*"), ("Accept-Encoding", "gzip"))
_PAGE = (("Accept", HTML), ("Accept-Language", "en-US,en;q=0.9"), ("Accept-Encoding", "gzip, deflate, br"))

PREVIEWS: dict[str, list[Asked]] = {
    "X": [ask("Twitterbot/1.0", *_ANY), *(ask(browser, *_PAGE, method="HEAD") for browser in BROWSERS[:3])],
    "WhatsApp on a phone": [ask("WhatsApp/2.25.27.81 A", ("Accept-Language", "de-DE"), *_ANY)],
    "WhatsApp on a desktop": [ask("WhatsApp/2.2546.3 W", *_ANY)],
    "iMessage": [
        ask(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 "
            "Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
            *_PAGE,
        )
    ],
    "Facebook, Messenger and Instagram": [
        ask(
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            *_ANY,
            ("Range", "bytes=0-524287"),
        ),
        ask("facebookexternalhit/1.1", *_ANY),
        ask("meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)", *_ANY),
    ],
    "Slack": [
        ask("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", *_ANY, ("Range", "bytes=0-32768")),
        ask("Slackbot 1.0 (+https://api.slack.com/robots)", *_ANY),
    ],
    "Discord": [ask("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", *_ANY)],
    "Telegram": [ask("TelegramBot (like TwitterBot)", *_ANY)],
    "LinkedIn": [ask("LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)", *_ANY)],
    "Teams and Skype": [
        ask("Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5 skype-url-preview@microsoft.com", *_ANY)
    ],
    "Pinterest": [ask("Mozilla/5.0 (compatible; Pinterestbot/1.0; +http://www.pinterest.com/bot.html)", *_ANY)],
    "Reddit": [ask("Mozilla/5.0 (compatible; redditbot/1.0; +http://www.reddit.com/feedback)", *_ANY)],
    "Snapchat": [ask("Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots", *_ANY)],
    "LINE": [ask("facebookexternalhit/1.1;line-poker/1.0", *_ANY)],
    "KakaoTalk": [ask("facebookexternalhit/1.1; kakaotalk-scrap/1.0; +https://devtalk.kakao.com/", *_ANY)],
    "Bluesky": [ask("Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; +mailto:support@bsky.app)", *_ANY)],
    "Viber": [ask("Viber/23.4.0.1 (link preview)", *_ANY)],
    "Applebot": [
        ask(
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
            "Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            *_PAGE,
        )
    ],
}

SCANNERS: dict[str, list[Asked]] = {
    "Safe Links, as a browser of no language": [
        ask(CHROME.format("97.0.4692.99"), ("Connection", "Keep-Alive"), ("Accept", "*/*")),
        ask(CHROME.format("72.0.3626.109"), ("Connection", "Keep-Alive"), ("Accept", "*/*")),
    ],
    "Safe Links, asking for the headers": [ask(CHROME.format("130.0.0.0"), ("Accept", "*/*"), method="HEAD")],
    "Safe Links, without a user agent": [Asked("GET", (("Connection", "Keep-Alive"), ("Accept", "*/*")))],
    "Office, opening a link's document": [
        ask("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", *_ANY),
        ask("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)", *_ANY),
        ask("Microsoft Office Existence Discovery", *_ANY, method="HEAD"),
    ],
    "Barracuda": [ask("Barracuda Sentinel (EE)", *_ANY)],
    "a gateway that is a Python program": [ask("python-requests/2.32.3", *_ANY)],
    "a gateway that is a Java program": [ask("Apache-HttpClient/4.5.14 (Java/17.0.11)", *_ANY)],
    "a gateway that wears a browser's user agent": [ask(CHROME.format("146.0.0.0"), *_ANY)],
    "Gmail's and Yahoo's proxies": [
        ask("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", *_ANY),
        ask("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", *_ANY),
    ],
}

_CHROME_AHEAD = (
    ("Accept", HTML),
    ("sec-ch-ua", '"Not:A-Brand";v="8", "Chromium";v="156", "Google Chrome";v="156"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Windows"'),
    ("Sec-Fetch-Site", "none"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
)
_FIREFOX_AHEAD = (
    ("Accept", HTML),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "cross-site"),
)
AHEAD: dict[str, list[Asked]] = {
    f"{browser}, {purpose}": [
        Asked(
            "GET",
            (
                (header, purpose),
                ("Upgrade-Insecure-Requests", "1"),
                ("User-Agent", user_agent),
                *more,
                ("Accept-Encoding", "gzip, deflate, br, zstd"),
                ("Accept-Language", "en-US,en;q=0.9"),
            ),
        )
    ]
    for browser, user_agent, header, purpose, more in (
        ("Chrome", BROWSERS[0], "Sec-Purpose", "prefetch", _CHROME_AHEAD),
        ("Chrome", BROWSERS[0], "Sec-Purpose", "prefetch;prerender", _CHROME_AHEAD),
        ("Chrome", BROWSERS[0], "Sec-Purpose", "prefetch;anonymous-client-ip", _CHROME_AHEAD),
        ("an older Chrome", BROWSERS[0], "Purpose", "prefetch", _CHROME_AHEAD),
        ("Firefox", FIREFOX, "Sec-Purpose", "prefetch", _FIREFOX_AHEAD),
        ("Firefox of 2021", FIREFOX.replace("153.0", "88.0"), "X-Moz", "prefetch", _FIREFOX_AHEAD[:1]),
        ("Safari's top sites of 2018", OLD_SAFARI, "X-Purpose", "preview", (("Accept", HTML),)),
    )
}

HEAD_STORM = [
    ask(BROWSERS[number % len(BROWSERS)], *_PAGE, method="HEAD") if number % 5 else ask("curl/8.5.0", method="HEAD")
    for number in range(40)
]

_SERVERS = (
    "Mastodon/4.5.1 (http.rb/5.3.1; +https://{}/)",
    "Mastodon/4.4.8 (http.rb/5.3.1; +https://{}/) Bot",
    "http.rb/5.1.1 (Mastodon/4.1.4; +https://{}/)",
    "Pleroma 2.9.1; https://{} <admin@{}>",
    "Akkoma 3.15.2; https://{} <admin@{}>",
    "Misskey/2025.11.0 (https://{})",
    "SummalyBot/5.2.5",
    "Lemmy/0.19.13; +https://{}",
    "Friendica 'Interrupted Fern' 2024.12-1571; https://{}",
    "gotosocial/0.20.2 (+https://{})",
    "(Pixelfed/0.12.6; +https://{})",
    "PeerTube/7.3.0 (+https://{})",
    "Mbin/1.8 (+https://{})",
    "WriteFreely (https://{})",
)


def federation(servers: int) -> list[Asked]:
    """Return what that many servers send whose members follow the author of a post: each fetches for itself."""
    return [
        ask(_SERVERS[number % len(_SERVERS)].replace("{}", f"s{number}.social.example"), *_ANY)
        for number in range(servers)
    ]
