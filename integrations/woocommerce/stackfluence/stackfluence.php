<?php
/**
 * Plugin Name: Stackfluence for WooCommerce
 * Description: Puts sf.js into the shop's pages and tells your Stackfluence of paid orders, refunds and cancellations.
 * Version: 0.1.0
 * Requires at least: 6.4
 * Requires PHP: 8.0
 * Requires Plugins: woocommerce
 * License: Apache-2.0
 *
 * Set in wp-config.php:
 *
 *     define('STACKFLUENCE_ENDPOINT', 'https://go.brand.example');
 *     define('STACKFLUENCE_ORGANIZATION', 'org_…');
 *     define('STACKFLUENCE_SECRET_KEY', 'sf_sec_…');
 *     define('STACKFLUENCE_CONSENT', 'required'); // optional: wait for sfq('consent', 'granted')
 *     define('STACKFLUENCE_SHOP', 'berlin');      // optional: which of your shops this is
 *
 * Nothing is sent while a shopper waits: orders are told by WooCommerce's own queue (Action Scheduler), again and again
 * until they have arrived. The idempotency keys make that harmless.
 */

declare(strict_types=1);

defined('ABSPATH') || exit;

const STACKFLUENCE_CLICK = '_inf_click_id';
const STACKFLUENCE_ATTEMPTS = 12; // the last one is some 20 hours after the first
const STACKFLUENCE_LATER = [0, 408, 429]; // a later attempt may succeed, as after any 5xx; 0 is no answer at all

// ISO 4217: how many decimal digits a currency has where that isn't two
const STACKFLUENCE_DIGITS = [
    'BIF' => 0, 'CLP' => 0, 'DJF' => 0, 'GNF' => 0, 'ISK' => 0, 'JPY' => 0, 'KMF' => 0, 'KRW' => 0, 'PYG' => 0,
    'RWF' => 0, 'UGX' => 0, 'UYI' => 0, 'VND' => 0, 'VUV' => 0, 'XAF' => 0, 'XOF' => 0, 'XPF' => 0, 'BHD' => 3,
    'IQD' => 3, 'JOD' => 3, 'KWD' => 3, 'LYD' => 3, 'OMR' => 3, 'TND' => 3, 'CLF' => 4, 'UYW' => 4,
];

add_action('before_woocommerce_init', 'stackfluence_declare');
add_action('wp_head', 'stackfluence_print_snippet');
add_action('woocommerce_checkout_create_order', 'stackfluence_remember_click');
add_action('woocommerce_store_api_checkout_update_order_from_request', 'stackfluence_remember_click');
add_action('woocommerce_payment_complete', 'stackfluence_queue_order');
add_action('woocommerce_order_status_processing', 'stackfluence_queue_order');
add_action('woocommerce_order_status_completed', 'stackfluence_queue_order');
add_action('woocommerce_order_refunded', 'stackfluence_queue_refund', 10, 2);
add_action('woocommerce_order_status_cancelled', 'stackfluence_queue_cancellation');
add_action('stackfluence_tell', 'stackfluence_tell', 10, 4);

/** Say that orders may be kept in WooCommerce's own tables. */
function stackfluence_declare(): void
{
    if (class_exists('Automattic\WooCommerce\Utilities\FeaturesUtil')) {
        Automattic\WooCommerce\Utilities\FeaturesUtil::declare_compatibility('custom_order_tables', __FILE__);
    }
}

/** Put sf.js into the page. */
function stackfluence_print_snippet(): void
{
    if (!stackfluence_setting('ENDPOINT') || !stackfluence_setting('ORGANIZATION')) {
        return;
    }
    wp_print_script_tag(array_filter([
        'async' => true,
        'src' => rtrim(stackfluence_setting('ENDPOINT'), '/') . '/sf.js',
        'data-org' => stackfluence_setting('ORGANIZATION'),
        'data-consent' => stackfluence_setting('CONSENT'),
    ]));
}

/** Keep with a new order by which click the shopper came; sf.js has kept it in a cookie, where it was allowed to. */
function stackfluence_remember_click($order): void
{
    $click_id = is_string($_COOKIE['inf_click_id'] ?? null) ? $_COOKIE['inf_click_id'] : '';
    if (preg_match('/^[A-Za-z0-9_-]{40,64}$/D', $click_id)) {
        $order->update_meta_data(STACKFLUENCE_CLICK, $click_id);
    }
}

/** A paid order is to be told; told again when it is completed, which revises its amounts. */
function stackfluence_queue_order($order_id): void
{
    $order = wc_get_order($order_id);
    if ($order && $order->is_paid()) {
        stackfluence_queue('conversion', (int) $order_id, (string) $order->get_status());
    }
}

/** A refund is to be told. */
function stackfluence_queue_refund($order_id, $refund_id): void
{
    stackfluence_queue('refund', (int) $order_id, (string) $refund_id);
}

/** A cancellation is to be told, if the order had been paid. */
function stackfluence_queue_cancellation($order_id): void
{
    $order = wc_get_order($order_id);
    if ($order && $order->get_date_paid() && (float) $order->get_remaining_refund_amount() > 0) {
        stackfluence_queue('refund', (int) $order_id, 'cancellation');
    }
}

/** Put what is to be told into the shop's queue. */
function stackfluence_queue(string $type, int $order_id, string $which, int $attempt = 0): void
{
    if (!stackfluence_setting('ENDPOINT') || !stackfluence_setting('SECRET_KEY')) {
        return;
    }
    $arguments = [$type, $order_id, $which, $attempt];
    try {
        if ($attempt > 0) {
            $at = time() + min(15 * 2 ** $attempt, 21600);
            as_schedule_single_action($at, 'stackfluence_tell', $arguments, 'stackfluence');
        } elseif (!as_has_scheduled_action('stackfluence_tell', $arguments, 'stackfluence')) {
            as_enqueue_async_action('stackfluence_tell', $arguments, 'stackfluence');
        }
    } catch (\Throwable $error) {
        // a shopper may be paying right now: a queue that is broken must not break the checkout, nor others' hooks
        $line = "The $type of order $order_id was not put into the queue: " . $error->getMessage();
        wc_get_logger()->error($line, ['source' => 'stackfluence']);
    }
}

/** Tell of an order or a refund; what does not arrive is put into the queue again. */
function stackfluence_tell($type, $order_id, $which, $attempt): void
{
    $order = wc_get_order($order_id);
    $event = $order ? stackfluence_event((string) $type, $order, (string) $which) : null;
    if (!$event) {
        return;
    }
    $answer = wp_remote_post(rtrim(stackfluence_setting('ENDPOINT'), '/') . '/v1/events/' . $type, [
        'timeout' => 10,
        'redirection' => 0,
        'headers' => [
            'Authorization' => 'Bearer ' . stackfluence_setting('SECRET_KEY'),
            'Content-Type' => 'application/json',
        ],
        'body' => wp_json_encode(array_filter($event, static fn ($value) => $value !== null && $value !== '')),
    ]);
    $status = is_wp_error($answer) ? 0 : (int) wp_remote_retrieve_response_code($answer);
    $told = $status === 0 ? [] : (json_decode(wp_remote_retrieve_body($answer), true) ?: []);
    if ($status === 202 && ($told['status'] ?? '') === 'quarantined') {
        $order->add_order_note("Stackfluence can't use this $type: {$told['reason']} {$told['detail']}");
    } elseif (($status >= 500 || in_array($status, STACKFLUENCE_LATER, true)) && $attempt < STACKFLUENCE_ATTEMPTS) {
        stackfluence_queue((string) $type, (int) $order_id, (string) $which, (int) $attempt + 1);
    } elseif ($status !== 202) {
        $order->add_order_note("Stackfluence was not told of this $type: $status " . ($told['detail'] ?? ''));
    }
}

/** Return the event as Stackfluence reads it, null when there is nothing to tell any more. */
function stackfluence_event(string $type, $order, string $which): ?array
{
    $event = $type === 'conversion'
        ? stackfluence_conversion($order, $which)
        : stackfluence_refund($order, $which);
    if ($event) {
        $event['shop'] = stackfluence_setting('SHOP');
        $event['currency'] = $order->get_currency();
    }
    // a shop may take things out, or add its own
    return apply_filters('stackfluence_event', $event, $order, $type);
}

/** Return a paid order: its amounts without tax where they are parts, all its codes, and who bought, as pseudonyms. */
function stackfluence_conversion($order, string $status): array
{
    $currency = $order->get_currency();
    $paid_at = $order->get_date_paid() ?: $order->get_date_created();
    $email = strtolower(trim($order->get_billing_email()));
    $customer_id = $order->get_customer_id();
    return [
        'idempotency_key' => 'woocommerce/order/' . $order->get_id() . '/' . $status,
        'event_type' => 'purchase',
        'order_id' => (string) $order->get_id(),
        'inf_click_id' => (string) $order->get_meta(STACKFLUENCE_CLICK),
        'occurred_at' => $paid_at ? $paid_at->format(DATE_ATOM) : null,
        'revised_at' => $order->get_date_modified() ? $order->get_date_modified()->format(DATE_ATOM) : null,
        'revenue_cents' => stackfluence_minor_units($order->get_total(), $currency),
        'subtotal_cents' => stackfluence_minor_units($order->get_subtotal(), $currency),
        'discount_cents' => stackfluence_minor_units($order->get_discount_total(), $currency),
        'tax_cents' => stackfluence_minor_units($order->get_total_tax(), $currency),
        'shipping_cents' => stackfluence_minor_units($order->get_shipping_total(), $currency),
        'lines' => array_map(
            static fn ($item) => stackfluence_line($item, $currency),
            array_values($order->get_items())
        ),
        'coupon_codes' => array_values($order->get_coupon_codes()),
        'customer_id' => $customer_id ? (string) $customer_id : null,
        'email_sha256' => $email === '' ? null : hash('sha256', $email),
        'customer_type' => stackfluence_customer_type($order),
        'is_renewal' => function_exists('wcs_order_contains_renewal') && wcs_order_contains_renewal($order) ?: null,
    ];
}

/** Return one line of an order; WooCommerce's `total` is the subtotal after discounts, both without tax. */
function stackfluence_line($item, string $currency): array
{
    $product = $item->get_product();
    $subtotal = stackfluence_minor_units($item->get_subtotal(), $currency);
    return [
        'line_id' => (string) $item->get_id(),
        'product_id' => (string) $item->get_product_id(),
        'variant_id' => $item->get_variation_id() ? (string) $item->get_variation_id() : '',
        'sku' => $product ? (string) $product->get_sku() : '',
        'quantity' => max(0, (int) $item->get_quantity()),
        'subtotal_cents' => $subtotal,
        'discount_cents' => max(0, $subtotal - stackfluence_minor_units($item->get_total(), $currency)),
        'tax_cents' => stackfluence_minor_units($item->get_total_tax(), $currency),
    ];
}

/** Return whether somebody with the same address has an earlier paid order; null when there is no address. */
function stackfluence_customer_type($order): ?string
{
    if ($order->get_billing_email() === '') {
        return null;
    }
    $earlier = wc_get_orders([
        'billing_email' => $order->get_billing_email(),
        'status' => wc_get_is_paid_statuses(),
        'exclude' => [$order->get_id()],
        // an attempt days later, or the completion, must not find what they bought since
        'date_created' => '<' . ($order->get_date_created() ? $order->get_date_created()->getTimestamp() : time()),
        'limit' => 1,
        'return' => 'ids',
    ]);
    return $earlier ? 'returning' : 'new';
}

/** Return a refund, by its id, or the cancellation of what had not been given back. */
function stackfluence_refund($order, string $which): ?array
{
    $is_cancelled = $which === 'cancellation';
    $refund = $is_cancelled ? null : wc_get_order((int) $which);
    if (!$is_cancelled && !$refund) {
        return null;
    }
    $at = $is_cancelled ? $order->get_date_modified() : $refund->get_date_created();
    $amount = $is_cancelled ? $order->get_remaining_refund_amount() : $refund->get_amount();
    return [
        'idempotency_key' => 'woocommerce/' . ($is_cancelled ? 'cancellation/' . $order->get_id() : "refund/$which"),
        'original_order_id' => (string) $order->get_id(),
        'refund_amount_cents' => stackfluence_minor_units($amount, $order->get_currency()),
        'reason' => $is_cancelled ? 'cancellation' : 'refund',
        'occurred_at' => $at ? $at->format(DATE_ATOM) : null,
    ];
}

/** Return an amount in the smallest unit of its currency: 49.99 EUR is 4999. */
function stackfluence_minor_units($amount, string $currency): int
{
    return (int) round((float) $amount * 10 ** (STACKFLUENCE_DIGITS[$currency] ?? 2));
}

/** Return a setting of wp-config.php, empty when it isn't there. */
function stackfluence_setting(string $name): string
{
    return defined("STACKFLUENCE_$name") ? (string) constant("STACKFLUENCE_$name") : '';
}
