#!/usr/bin/perl
# serve-sched.t - who runs when: what is known is not computed again, nobody is
# forgotten where there is no room, and no answer depends on it.
use strict;
use warnings;
use lib 'tests/cmd';
use Ask;
use IO::Select;
use JSON::PP;
use Run;
use Test::More;

my $d = new_dir();
my $sock = "$d/s.sock";
my @serve = ('clm-serve', '-q', '-m', demo(), '--device', 'cpu', '--metrics-alias', 'llamacpp');

sub metrics { return { map { /^([^# ]\S*) (\S+)$/ ? ($1 => $2) : () } split /\n/, ask($sock, 'GET', '/metrics')->{body} } }

# Rows of all passes so far, when nothing runs.
sub rows
{
	my $m;

	until_true(sub { $m = metrics(); !$m->{clm_requests_running} && !$m->{clm_requests_waiting} });
	return $m->{'llamacpp:n_busy_slots_per_decode'} * $m->{clm_decode_steps_total};
}

# ---- a chat of 1,200 tokens goes on: only what is new is computed
my $s = up($sock, @serve);
my %way = (
	openai => ['/v1/chat/completions', { max_tokens => 9 }, sub {
		my ($r) = @_;
		return ($r->{choices}[0]{message}, @{ $r->{usage} }{qw(prompt_tokens completion_tokens)},
			$r->{usage}{prompt_tokens_details}{cached_tokens});
	}],
	ollama => ['/api/chat', { stream => JSON::PP::false, options => { num_predict => 9, temperature => 0 } }, sub {
		my ($r) = @_;
		return ($r->{message}, @$r{qw(prompt_eval_count eval_count)});
	}],
);
for my $name (sort keys %way) {
	my ($path, $more, $told) = @{ $way{$name} };
	my @turns = ({ role => 'user', content => "Say $name. " . 'The king went to sea and said a word. ' x 120 });
	my ($known, $computed) = (0, 0);

	for my $turn (1 .. 3) {
		my $before = rows();
		my $r = json($sock, 'POST', $path, { model => 'demo', messages => \@turns, %$more });
		my ($message, $all, $made, $cached) = $told->($r);

		$computed = rows() - $before - ($made - 1);
		is($computed, $all - $cached, "$name, turn $turn: $cached are told and were not computed") if defined $cached;
		ok($all - $known <= $computed && $computed < $all - $known + 32,
			"of $all tokens $computed, what is new and less than a page") if $turn > 1;
		$known = $all + $made;
		push @turns, { role => 'assistant', content => $message->{content} }, { role => 'user', content => 'And then?' };
	}
}
down($s, 'the server');

# ---- many at once, drawn on two threads, and then in a cache with room for a
# few: all end, and with the tokens that each has alone
my @all = map { +{ model => 'demo', prompt => "$_ times: " . 'once upon a time there was a king ' x (1 + $_ % 4 * 4),
	max_tokens => 40 + $_ % 4 * 50, temperature => 0.9, seed => $_, ignore_eos => JSON::PP::true, priority => $_ % 3 - 1,
	($_ % 8 == 1 ? (logprobs => 3) : ()), ($_ % 8 == 2 ? (frequency_penalty => 1) : ()),
	($_ % 8 == 3 ? (stream => JSON::PP::true) : ()), ($_ % 8 == 4 ? (top_p => 0.9) : ()) } } 1 .. 16;

# The text, of a stream too, and why it ended.
sub answer
{
	my ($r) = @_;
	my @c = map { $_->{choices}[0] } $r->{json} // map { /^data: (\{.*)/s ? decode_json($1) : () } split /\n\n/, $r->{body};

	return join '', map({ $_->{text} // '' } @c), ' | ', map { $_->{finish_reason} // '' } @c;
}

sub at_once { map { answer(rest_of($_)) } map { begin($sock, 'POST', '/v1/completions', $_) } @all }

$s = up($sock, @serve, '--threads', 4);
my @alone = map { answer(ask($sock, 'POST', '/v1/completions', $_)) } @all;
is(scalar(grep { / \| length$/ } @alone), @all, 'each alone has all its tokens');
is_deeply([at_once()], \@alone, 'and the same beside the others');
down($s, 'a server with room');
$s = up($sock, @serve, '--batch', 12, '--context', 512, '--cache-tokens', 512, '--chunk', 64);
is_deeply([at_once()], \@alone, 'and where there is too little room');
rows();
my $m = metrics();
cmp_ok($m->{clm_preemptions_total}, '>', 0, 'some had to give way');
is($m->{'clm_kv_blocks{state="active"}'}, 0, 'no page is held');
is($m->{clm_requests_running} + $m->{clm_requests_waiting}, 0, 'nobody is left');
down($s, 'a server without');

# ---- one after the other: 64 requests make up for a step of priority, so that
# nobody waits for ever
$s = up($sock, @serve, '--batch', 1);
my $first = begin($sock, 'POST', '/v1/completions', { %{ $all[0] }, max_tokens => 8000, stream => JSON::PP::true, logprobs => 20 });
until_true(sub { metrics()->{clm_requests_running} });
my %turn;
for my $i (0 .. 79) {
	my $c = begin($sock, 'POST', '/v1/completions', { %{ $all[0] }, max_tokens => 8, priority => { 0 => 1, 79 => -1 }->{$i} // 0 });

	$turn{fileno $c} = [$c, $i];
	# each connection has a thread of its own: who came first and last is certain once it waits
	until_true(sub { metrics()->{clm_requests_waiting} == $i + 1 }) if $i == 0 || $i >= 78;
}
is(metrics()->{clm_requests_waiting}, 80, 'eighty wait for one');
close $first; # a stream that nobody reads stands still: it held the only place until now
my $wait = IO::Select->new(map { $_->[0] } values %turn);
my @order;
while ($wait->count and my @ready = $wait->can_read(20)) {
	push @order, map { $turn{fileno $_}[1] } @ready;
	$wait->remove(@ready);
}
my %place = map { $order[$_] => $_ } 0 .. $#order;
is(@order, 80, 'all eighty have their turn');
ok($place{0} > 50 && $place{0} < 76, 'one that can wait comes after those that soon came') or diag $place{0};
ok($place{79} > 5 && $place{79} < 30, 'one that cannot, before those that late came') or diag $place{79};
down($s, 'the server');
done_testing();
