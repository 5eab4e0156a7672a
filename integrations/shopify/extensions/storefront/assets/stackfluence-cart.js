/**
 * Takes a landing's inf_click_id into the cart's attributes, from where Shopify copies it into the order. Plain script,
 * no dependency, nothing global, throws nothing into the page. Beside sf.js, which keeps the ID under the same names,
 * either may come first.
 */
(() => {
  const NAME = "inf_click_id";
  const SECONDS = 30 * 86400; // a click ID's default lifetime
  const options = document.currentScript?.dataset ?? {};
  const root = (options.root || "/").replace(/\/?$/, "/");
  const arrived = new URLSearchParams(location.search).get(NAME) ?? "";
  const clean = (text) => (/^[\w-]{1,64}$/.test(text ?? "") ? text : "");
  let attached = "";

  const isAllowed = () => {
    if (navigator.globalPrivacyControl) return false;
    if (options.consent === "none") return true;
    try {
      return window.Shopify.customerPrivacy.analyticsProcessingAllowed() === true;
    } catch {
      return false; // the consent API has not loaded, or there is none: nobody agreed
    }
  };

  const kept = () => {
    try {
      return clean(document.cookie.match(/(?:^|; )inf_click_id=([\w-]*)/)?.[1]);
    } catch {
      return "";
    }
  };

  const keep = () => {
    if (!clean(arrived) || !isAllowed() || kept() === arrived) return;
    try {
      document.cookie = `${NAME}=${arrived};Path=/;SameSite=Lax;Max-Age=${SECONDS};Secure`;
    } catch {
      // a frame in a sandbox has no cookies
    }
  };

  const forget = () => {
    try {
      document.cookie = `${NAME}=;Path=/;Max-Age=0;Secure`;
    } catch {
      // as above
    }
  };

  /** Put the ID into the cart, when there is one: for a visitor who only looks, none is made. */
  const attach = async () => {
    const id = clean(arrived) || (isAllowed() ? kept() : "");
    if (!id || attached === id) return;
    try {
      const cart = await (await fetch(`${root}cart.js`, { headers: { Accept: "application/json" } })).json();
      if (!cart.item_count) return;
      if (cart.attributes?.[NAME] !== id) {
        const answer = await fetch(`${root}cart/update.js`, {
          method: "POST",
          headers: { "Content-Type": "application/json", Accept: "application/json" },
          body: JSON.stringify({ attributes: { [NAME]: id } }),
          keepalive: true,
        });
        if (!answer.ok) return;
      }
      attached = id;
    } catch {
      // the next change of the cart tries again
    }
  };

  const start = () => {
    keep();
    attach();
    document.addEventListener("visitorConsentCollected", () => {
      if (isAllowed()) keep();
      else forget();
      window.sfq?.("consent", isAllowed() ? "granted" : "denied");
      attach();
    });
    try {
      // themes add to the cart in ways of their own, and all of them ask /cart/add
      new PerformanceObserver((list) => {
        if (list.getEntries().some(({ name }) => /\/cart\/(add|change|update)(\.js)?(\?|$)/.test(name) && !attached)) attach();
      }).observe({ type: "resource", buffered: true });
    } catch {
      // an old browser: the next page tries again
    }
    if (options.endpoint && options.org) {
      const script = document.createElement("script");
      script.src = `${options.endpoint.replace(/\/$/, "")}/sf.js`;
      script.async = true;
      script.dataset.org = options.org;
      if (options.consent !== "none") script.dataset.consent = "required";
      script.onload = () => {
        if (isAllowed()) window.sfq?.("consent", "granted"); // given on an earlier page
      };
      document.head.append(script);
    }
  };

  if (document.prerendering) document.addEventListener("prerenderingchange", start, { once: true });
  else start();
})();
