"""What the sample organization consists of. Everybody and everything here is invented.

Times are days relative to the moment the sample is made; money is integer cents.
"""

from __future__ import annotations

from dataclasses import dataclass

NAME = "Lumen Skincare (sample)"
CURRENCY = "USD"
TIME_ZONE = "Europe/Berlin"
SHOP = "lumen-skincare.example"
ORIGIN = f"https://{SHOP}"
_UTM = "utm_source={platform}&utm_medium=creator&utm_campaign={campaign}&utm_content={creator}-{asset}"


@dataclass(frozen=True, slots=True)
class SampleCreator:
    """A creator; `former_handle` still answers. `coupon_code` is theirs to give away."""

    handle: str
    name: str
    coupon_code: str
    former_handle: str = ""


@dataclass(frozen=True, slots=True)
class SampleCampaign:
    """A campaign, with where its closed links lead."""

    slug: str
    name: str
    fallback_url: str = ""


@dataclass(frozen=True, slots=True)
class SampleLink:
    """A post and the link in it. `weight` is its share of the visits.

    A closed link is paused or expired; it leads to its own fallback, else its campaign's, else nowhere (410).
    """

    creator: str
    campaign: str
    asset: str
    platform: str
    page: str
    weight: int
    days_ago: int
    is_paused: bool = False
    is_expired: bool = False
    fallback_url: str = ""
    is_boosted: bool = False

    @property
    def path(self) -> str:
        """The link's address on any of its hosts."""
        return f"/c/{self.creator}/{self.campaign}/{self.asset}"

    @property
    def is_closed(self) -> bool:
        """Whether a visitor is turned away."""
        return self.is_paused or self.is_expired

    @property
    def leads_to_fallback(self) -> bool:
        """Whether a visitor of the closed link is sent elsewhere instead of told that it is gone."""
        return self.is_closed and bool(self.fallback_url or FALLBACKS[self.campaign])

    @property
    def destination_url(self) -> str:
        """The shop's page with its UTM macros, which the edge fills in."""
        page, hash_sign, fragment = self.page.partition("#")
        mark = "&" if "?" in page else "?"
        return f"{ORIGIN}{page}{mark}{_UTM}{hash_sign}{fragment}"

    @property
    def post_url(self) -> str:
        """Where the post could be seen, if it existed."""
        return f"https://{self.platform}.example/{self.creator}/{self.asset}"


CREATORS = (
    SampleCreator("emma", "Emma Lind", "EMMA10", former_handle="emma.glow"),
    SampleCreator("jonas", "Jonas Falk", "JONAS10"),
    SampleCreator("mira", "Mira Sand", "MIRA15"),
    SampleCreator("tariq", "Tariq Noor", "TARIQ10"),
    SampleCreator("lucia", "Lucia Verde", "LUCIA10"),
    SampleCreator("yuki", "Yuki Hoshi", "YUKI10"),
    SampleCreator("oda", "Oda Letters", "ODA5"),
)
CAMPAIGNS = (
    SampleCampaign("winter-glow", "Winter glow", f"{ORIGIN}/collections/all"),
    SampleCampaign("spf-every-day", "SPF every day"),
    SampleCampaign("night-serum", "Night serum launch"),
)
FALLBACKS = {campaign.slug: campaign.fallback_url for campaign in CAMPAIGNS}
LINKS = (
    SampleLink("emma", "winter-glow", "reel-morning", "instagram", "/products/barrier-cream", 60, 20, is_boosted=True),
    SampleLink("emma", "winter-glow", "story-1", "instagram", "/products/barrier-cream", 45, 3),
    SampleLink("emma", "night-serum", "reel-launch", "instagram", "/products/night-serum#reviews", 70, 6),
    SampleLink("emma", "night-serum", "bio", "instagram", "/collections/serums?sort=new", 35, 40),
    SampleLink("emma", "spf-every-day", "carousel", "instagram", "/products/spf-50", 20, 60),
    SampleLink("jonas", "winter-glow", "routine", "youtube", "/collections/winter", 40, 30),
    SampleLink("jonas", "night-serum", "review", "youtube", "/products/night-serum?variant=30ml", 55, 9),
    SampleLink("jonas", "night-serum", "short-2", "youtube", "/products/night-serum", 25, 2),
    SampleLink("jonas", "spf-every-day", "myths", "youtube", "/pages/spf-guide", 18, 75),
    SampleLink("jonas", "winter-glow", "community", "x", "/collections/winter", 8, 12),
    SampleLink("mira", "night-serum", "grwm", "tiktok", "/products/night-serum", 80, 4, is_boosted=True),
    SampleLink("mira", "night-serum", "duet", "tiktok", "/products/night-serum", 30, 1),
    SampleLink("mira", "winter-glow", "haul", "tiktok", "/collections/winter", 50, 15),
    SampleLink("mira", "winter-glow", "snap-1", "snapchat", "/products/lip-balm", 15, 5),
    SampleLink("mira", "spf-every-day", "beach", "tiktok", "/products/spf-50", 12, 90),
    SampleLink("tariq", "winter-glow", "thread", "x", "/collections/men", 22, 8),
    SampleLink("tariq", "night-serum", "thread-2", "x", "/products/night-serum", 16, 5),
    SampleLink("tariq", "spf-every-day", "short", "youtube", "/products/spf-50", 14, 50),
    SampleLink("tariq", "winter-glow", "page", "facebook", "/collections/men", 18, 11),
    SampleLink("lucia", "winter-glow", "board", "pinterest", "/collections/winter", 26, 70),
    SampleLink("lucia", "night-serum", "pin-7", "pinterest", "/products/night-serum", 20, 7),
    SampleLink("lucia", "spf-every-day", "pin-2", "pinterest", "/products/spf-50", 10, 80),
    SampleLink("lucia", "night-serum", "group", "facebook", "/products/night-serum", 15, 6),
    SampleLink("yuki", "night-serum", "talk", "line", "/products/night-serum", 12, 4),
    SampleLink("yuki", "winter-glow", "moments", "wechat", "/collections/winter", 12, 9),
    SampleLink("yuki", "spf-every-day", "reel", "instagram", "/products/spf-50", 15, 33),
    SampleLink("oda", "night-serum", "letter-48", "newsletter", "/products/night-serum", 24, 2),
    SampleLink("oda", "winter-glow", "letter-47", "newsletter", "/collections/winter", 14, 9),
    # closed: one paused for good, one that expired, one that leads to its own fallback, one to its campaign's
    SampleLink("tariq", "spf-every-day", "giveaway", "x", "/pages/giveaway", 4, 100, is_paused=True),
    SampleLink("oda", "spf-every-day", "letter-31", "newsletter", "/pages/spf-guide", 4, 200, is_expired=True),
    SampleLink(
        "lucia", "spf-every-day", "early-access", "instagram", "/pages/early", 3, 120,
        is_expired=True, fallback_url=f"{ORIGIN}/products/spf-50",
    ),
    SampleLink("jonas", "winter-glow", "live", "youtube", "/pages/live", 4, 25, is_paused=True),
)  # fmt: skip
