<?php
// As much of WordPress and WooCommerce as the plug-in calls: hooks, orders, the queue, and requests that are really sent.
// Reads a story from standard input, a JSON list of steps, and prints what the shop knows in the end.

declare(strict_types=1);

define('ABSPATH', __DIR__);
foreach (json_decode(getenv('SHOP_SETTINGS'), true) as $name => $value) {
    define("STACKFLUENCE_$name", $value);
}

$hooks = [];
$queue = [];
$later = [];
$orders = [];
$head = '';
$logged = [];
$is_queue_broken = false;

function add_action($name, $callback, $priority = 10, $count = 1) {
    global $hooks;
    $hooks[$name][] = [$callback, $count];
}
function do_action($name, ...$arguments) {
    global $hooks;
    foreach ($hooks[$name] ?? [] as [$callback, $count]) {
        $callback(...array_slice($arguments, 0, $count));
    }
}
function apply_filters($name, $value, ...$more) {
    return $value;
}
function as_has_scheduled_action($hook, $arguments, $group) {
    global $queue;
    return in_array([$hook, $arguments], $queue, true);
}
function as_enqueue_async_action($hook, $arguments, $group) {
    global $queue, $is_queue_broken;
    if ($is_queue_broken) {
        throw new RuntimeException('The tables of the queue are missing.');
    }
    $queue[] = [$hook, $arguments];
}
function as_schedule_single_action($at, $hook, $arguments, $group) {
    global $queue, $later;
    $later[] = $at - time();
    $queue[] = [$hook, $arguments];
}
function wc_get_order($id) {
    global $orders;
    return $orders[$id] ?? false;
}
function wc_get_is_paid_statuses() {
    return ['processing', 'completed'];
}
function wc_get_orders($query) {
    global $orders;
    $found = array_filter($orders, fn ($order) => $order->get_billing_email() === $query['billing_email']
        && in_array($order->get_status(), $query['status'], true) && !in_array($order->get_id(), $query['exclude'], true)
        && $order->get_date_created()?->getTimestamp() < (int) substr($query['date_created'], 1));
    return array_keys($found);
}
function wc_get_logger() {
    return new class {
        public function error($line, $context) { $GLOBALS['logged'][] = $line; }
    };
}
function wp_json_encode($value) {
    return json_encode($value);
}
function wp_print_script_tag($attributes) {
    global $head;
    $head .= json_encode($attributes, JSON_UNESCAPED_SLASHES);
}
function wp_remote_post($url, $options) {
    $lines = array_map(fn ($name) => "$name: {$options['headers'][$name]}", array_keys($options['headers']));
    $http = ['method' => 'POST', 'header' => $lines, 'content' => $options['body'], 'ignore_errors' => true];
    $http_response_header = [];
    $body = @file_get_contents($url, false, stream_context_create(['http' => $http + ['timeout' => $options['timeout']]]));
    return $http_response_header ? ['code' => explode(' ', $http_response_header[0])[1], 'body' => $body] : 'error';
}
function is_wp_error($answer) {
    return $answer === 'error';
}
function wp_remote_retrieve_response_code($answer) {
    return $answer['code'];
}
function wp_remote_retrieve_body($answer) {
    return $answer['body'];
}

// whatever an order, a refund, a line or a product has is asked for by get_…
class Record
{
    public array $notes = [];
    private array $meta = [];

    public function __construct(private array $fields) {}

    public function __call($name, $arguments)
    {
        $value = $this->fields[substr($name, 4)] ?? '';
        return str_starts_with(substr($name, 4), 'date_') ? ($value ? new DateTime($value) : null) : $value;
    }
    public function get_items() { return array_map(fn ($line) => new Record($line), $this->fields['items'] ?? []); }
    public function get_product() { return isset($this->fields['sku']) ? new Record($this->fields) : false; }
    public function get_coupon_codes() { return $this->fields['coupon_codes'] ?? []; }
    public function get_meta($name) { return $this->meta[$name] ?? ''; }
    public function update_meta_data($name, $value) { $this->meta[$name] = $value; }
    public function add_order_note($note) { $this->notes[] = $note; }
    public function is_paid() { return in_array($this->fields['status'], wc_get_is_paid_statuses(), true); }
    public function set($name, $value) { $this->fields[$name] = $value; }
}

require $argv[1];

foreach (json_decode(stream_get_contents(STDIN), true) as [$step, $given]) {
    if ($step === 'cookie') {
        $_COOKIE['inf_click_id'] = $given;
    } elseif ($step === 'order') {
        $orders[$given['id']] = new Record($given);
        do_action('woocommerce_checkout_create_order', $orders[$given['id']], []);
    } elseif ($step === 'refund') {
        $orders[$given['id']] = new Record($given);
        do_action('woocommerce_order_refunded', $given['parent'], $given['id']);
    } elseif ($step === 'status') {
        [$id, $status] = $given;
        $orders[$id]->set('status', $status);
        if ($status === 'processing') {
            do_action('woocommerce_payment_complete', $id);
        }
        do_action("woocommerce_order_status_$status", $id);
    } elseif ($step === 'queue breaks') {
        $is_queue_broken = true;
    } elseif ($step === 'page') {
        do_action('wp_head');
    } elseif ($step === 'queue') {
        for ($turn = 0; $queue && $turn < 50; $turn++) {
            [$hook, $arguments] = array_shift($queue);
            do_action($hook, ...$arguments);
        }
    }
}
$notes = array_map(fn ($order) => $order->notes, $orders);
echo json_encode([
    'waiting' => count($queue), 'later' => $later, 'notes' => array_merge(...$notes), 'head' => $head, 'logged' => $logged,
]);
