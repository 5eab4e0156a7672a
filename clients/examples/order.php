<?php
/**
 * Tell Stackfluence of an order, of a partial refund and of who the customer is: PHP 8 without an extension.
 *
 *     STACKFLUENCE_ENDPOINT=https://go.brand.example STACKFLUENCE_SECRET_KEY=sf_sec_… php order.php
 */

declare(strict_types=1);

/**
 * Send one event, or a batch as ['events' => [...]], and return what was answered.
 *
 * At 503, a timeout or a broken connection it is tried four more times, after as long as the server asks. The
 * idempotency_key makes that harmless, today and in a year: the same key is the same event.
 */
function stackfluence_tell(string $type, array $event): array
{
    $url = rtrim(getenv('STACKFLUENCE_ENDPOINT'), '/') . '/v1/events/' . $type;
    $context = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => ['Authorization: Bearer ' . getenv('STACKFLUENCE_SECRET_KEY'), 'Content-Type: application/json'],
        'content' => json_encode($event, JSON_THROW_ON_ERROR),
        'timeout' => 10,
        'ignore_errors' => true,
        'follow_location' => 0,
    ]]);
    $pause = 1;
    for ($attempt = 0; ; $attempt++) {
        $http_response_header = [];
        $text = @file_get_contents($url, false, $context);
        $status = (int) (explode(' ', $http_response_header[0] ?? '')[1] ?? 0);
        if ($status === 202) {
            return json_decode($text, true, 512, JSON_THROW_ON_ERROR);
        }
        $may_succeed_later = $status === 0 || in_array($status, [408, 429, 502, 503, 504], true);
        if (!$may_succeed_later || $attempt === 4) {
            throw new RuntimeException("Stackfluence answered $status: $text");
        }
        $asked = preg_grep('/^retry-after: *\d+$/i', $http_response_header);
        sleep(min($asked ? (int) substr(end($asked), 12) : $pause, 60));
        $pause *= 2;
    }
}

// In a shop: what sf.js kept in the cookie, or what the landing page's address brought.
$click_id = $_COOKIE['inf_click_id'] ?? (string) getenv('INF_CLICK_ID');

// Amounts are minor units: 4999 is 49.99.
$answers[] = stackfluence_tell('conversion', [
    'idempotency_key' => 'order-1001',
    'order_id' => '1001',
    'inf_click_id' => $click_id,
    'currency' => 'EUR',
    'revenue_cents' => 4999,
    'subtotal_cents' => 4500,
    'discount_cents' => 500,
    'tax_cents' => 699,
    'shipping_cents' => 300,
    'lines' => [['sku' => 'SOCK-RED', 'quantity' => 3, 'subtotal_cents' => 4500, 'discount_cents' => 500]],
    'coupon_codes' => ['EMMA10'],
    'customer_id' => 'c-17',
    'customer_type' => 'new',
]);

// One of the three pairs came back. Each refund has a key of its own: two of them are added up.
$answers[] = stackfluence_tell('refund', [
    'idempotency_key' => 'refund-77',
    'original_order_id' => '1001',
    'refund_amount_cents' => 1500,
    'currency' => 'EUR',
    'reason' => 'refund',
]);

// At a login or a newsletter form: the next order of this customer finds the click, on any device.
$answers[] = stackfluence_tell('identify', [
    'idempotency_key' => 'identify-c-17',
    'inf_click_id' => $click_id,
    'customer_id' => 'c-17',
]);

// Many at once, up to 1,000; an order of last week keeps its time.
$answers[] = stackfluence_tell('batch', ['events' => [
    [
        'type' => 'conversion',
        'idempotency_key' => 'order-990',
        'order_id' => '990',
        'revenue_cents' => 2500,
        'currency' => 'EUR',
        'customer_id' => 'c-17',
        'occurred_at' => '2026-11-16T09:30:00Z',
    ],
    [
        'type' => 'refund',
        'idempotency_key' => 'refund-70',
        'original_order_id' => '990',
        'refund_amount_cents' => 2500,
        'currency' => 'EUR',
        'reason' => 'cancellation',
        'occurred_at' => '2026-11-17T09:30:00Z',
    ],
]]);

foreach ($answers as $answer) {
    echo json_encode($answer), PHP_EOL;
}
