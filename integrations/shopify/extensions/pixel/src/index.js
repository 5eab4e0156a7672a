import { register } from "@shopify/web-pixels-extension";

import { conversion } from "./conversion.js";

register(({ analytics, browser, init, settings, customerPrivacy }) => {
  let privacy = init.customerPrivacy;
  customerPrivacy.subscribe("visitorConsentCollected", (event) => {
    privacy = event.customerPrivacy;
  });

  analytics.subscribe("checkout_completed", async (event) => {
    const stored = await browser.cookie.get("inf_click_id").catch(() => "");
    const body = conversion(event, {
      organization: settings.organization,
      shop: init.data.shop.myshopifyDomain,
      stored,
      isAllowed: privacy.analyticsProcessingAllowed,
    });
    if (!body) return;
    // text/plain needs no preflight, and keepalive outlives the tab; what gets lost is told by the shop's webhook
    await fetch(`${settings.endpoint}/v1/events/conversion`, {
      method: "POST",
      headers: { "Content-Type": "text/plain" },
      body: JSON.stringify(body),
      keepalive: true,
    }).catch(() => undefined);
  });
});
