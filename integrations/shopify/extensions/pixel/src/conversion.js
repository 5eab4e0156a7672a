/** What a completed checkout is to Stackfluence. Formats: shopify.dev, Web Pixels API, checkout_completed. */

const CLICK_ID = /^[\w-]{1,64}$/;

/** Return the digits at the end of an id, which is a number or gid://shopify/Order/…; never through a Number: beyond 2^53 it is another one. */
export const digits = (id) => String(id ?? "").match(/(\d+)(?:\?.*)?$/)?.[1] ?? "";

/** Return an amount in the currency's minor units, exactly: 19.99 EUR is 1999, 1000 JPY is 1000. */
export const minorUnits = (money) => {
  const format = new Intl.NumberFormat("en", { style: "currency", currency: money.currencyCode });
  const places = format.resolvedOptions().maximumFractionDigits;
  return Math.round(Number((Number(money.amount) * 10 ** places).toPrecision(15)));
};

/** Return the click ID that the cart brought along, or what the browser kept. */
const clickId = (checkout, stored) => {
  const found = (checkout.attributes ?? []).find(({ key }) => key === "inf_click_id" || key === "_inf_click_id");
  return [found?.value, stored].find((text) => CLICK_ID.test(text ?? "")) ?? "";
};

/**
 * Return the event's body, null for a checkout of which nothing can be told: without an order's id it could not be
 * recognized as the order of the webhook, and would count twice.
 *
 * Amounts are in the currency in which the visitor paid.
 */
export const conversion = (event, { organization, shop, stored, isAllowed }) => {
  const checkout = event.data?.checkout;
  const orderId = digits(checkout?.order?.id);
  if (!orderId || !checkout.totalPrice) return null;
  const isFirst = checkout.order.customer?.isFirstOrder;
  const codes = (checkout.discountApplications ?? []).filter(({ type }) => type === "DISCOUNT_CODE");
  return {
    organization_id: organization,
    event_type: "purchase",
    inf_click_id: clickId(checkout, isAllowed ? stored : ""),
    shop,
    order_id: orderId,
    idempotency_key: `shopify-pixel/${shop}/${orderId}`,
    occurred_at: new Date(event.timestamp).toISOString(),
    revenue_cents: minorUnits(checkout.totalPrice),
    currency: checkout.totalPrice.currencyCode,
    coupon_codes: codes.map(({ title }) => title),
    consent: isAllowed ? "granted" : "denied",
    ...(typeof isFirst === "boolean" && { customer_type: isFirst ? "new" : "returning" }),
  };
};
