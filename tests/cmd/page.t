#!/usr/bin/perl
# page.t - the server's page: what it is served as, and in a Chromium, where
# there is one, what a person does with it. PICTURES=DIR keeps screenshots.
use strict;
use warnings;
use utf8;
use lib 'tests/cmd';
use Browser;
use IO::Socket::INET;
use Run;
use Test::More;

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output);
my $d = new_dir();
my $s = start('clm-serve', '-m', demo(), '--device', 'cpu', '-l', ':0');
my $port;
for (1 .. 600) {
	($port) = (-e $s->{err_path} ? slurp($s->{err_path}) : '') =~ m{listening at http://127\.0\.0\.1:(\d+)\n};
	last if $port || waitpid($s->{pid}, 1) > 0;
	select undef, undef, undef, 0.05;
}
BAIL_OUT('no server: ' . slurp($s->{err_path})) if !$port;
my $url = "http://127.0.0.1:$port";

sub get
{
	my ($path, $accept, $method) = @_;
	my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or return '';

	print $c join "\r\n", ($method // 'GET') . " $path HTTP/1.1", "Host: 127.0.0.1:$port", 'Connection: close',
		($accept ? "Accept: $accept" : ()), '', '';
	local $/;
	return <$c> // '';
}

# ---- as files
my $r = get('/', 'text/html,application/xhtml+xml');
like($r, qr/^Content-Type: text\/html; charset=utf-8\r$/m, 'a browser gets the page');
like($r, qr/^Content-Security-Policy: default-src 'none'; script-src 'self';/m, 'that runs its own scripts only');
unlike($r, qr{(?:src|href)="(?:https?:)?//}, 'and fetches nothing from elsewhere');
like(get('/', '*/*'), qr/\r\n\r\nOllama is running\z/, 'a client gets the line');
like(get('/'), qr/\r\n\r\nOllama is running\z/, 'and so does one that asks for nothing');
for my $f (map { s{.*/}{}r } glob 'libcore/serve/page/*') {
	my $text = slurp("libcore/serve/page/$f");
	like(get("/page/$f"), qr/\r\n\r\n\Q$text\E\z/, "$f is served");
}
like(get('/page/page.js'), qr/^Content-Type: text\/javascript/m, 'scripts are scripts');
unlike(get('/page/page.js', '*/*', 'HEAD'), qr/\r\n\r\n./, 'HEAD has no body');
like(get($_), qr/^HTTP\/1.1 404 /, "$_ is no file")
	for '/page/nothing.js', '/page/..%2fpage.c', '/page/../page.c', '/page/index.html%2f', '/page';

SKIP: {
	skip 'no chromium here', 1 if !Browser::program();
	my $b = eval { Browser->new($d) } or skip "chromium does not start: $@", 1;
	my $shot = sub { $b->picture("$ENV{PICTURES}/$_[0].png") if $ENV{PICTURES} };

	ok($b->go("$url/"), 'the page opens');
	ok($b->until_true(q(document.getElementById('model').value === 'demo')), 'the models are listed');
	is($b->js('document.activeElement.id'), 'prompt', 'one can type at once');

	# ---- chat
	$b->js(q(document.getElementById('settings').open = true; document.getElementById('longest').value = 24;
		document.getElementById('seed').value = 3; document.getElementById('prompt').focus()));
	$b->type('Tell me <b>a story</b>');
	$b->press('Enter', 8);
	is($b->js(q(document.querySelectorAll('.turn').length)), 0, 'Shift and Enter do not send');
	$b->press('Enter');
	ok($b->until_true(q(document.getElementById('timing').textContent.includes('answer 24 tokens'))),
		'an answer is streamed') or diag $b->js(q(document.getElementById('timing').textContent));
	like($b->js(q(document.getElementById('timing').textContent)),
		qr/first token \d+ ms · prompt \d+ tokens.* · cut at the longest answer/, 'and timed');
	is($b->js(q(document.querySelectorAll('#log b').length)), 2, 'what a person writes is no HTML');
	my $first = $b->js(q(document.querySelector('.assistant > .said').textContent));
	ok(length $first, 'the answer is shown');
	$shot->('chat');
	$b->js(q(document.getElementById('again').click()));
	ok($b->until_true(q(document.getElementById('timing').textContent.includes('answer 24'))), 'once more');
	is($b->js(q(document.querySelector('.assistant > .said').textContent)), $first, 'the seed makes it the same');
	is($b->js(q(document.querySelectorAll('.turn').length)), 2, 'in the place of the first');

	$b->js(q(document.getElementById('longest').value = ''; document.getElementById('prompt').focus()));
	$b->type('More');
	$b->press('Enter');
	ok($b->until_true(q(document.querySelectorAll('.assistant').length === 2)), 'a second turn');
	$b->press('Escape');
	ok($b->until_true(q(document.getElementById('send').textContent === 'Send')), 'Escape ends it');
	$b->js(q(document.getElementById('longest').value = 0; document.getElementById('prompt').focus()));
	$b->type('Bad');
	$b->press('Enter');
	ok($b->until_true(q(document.getElementById('timing').className === 'bad')), 'a refusal is told');
	like($b->js(q(document.getElementById('timing').textContent)), qr/max_tokens/, 'in the server\'s words');
	$b->js(q(document.getElementById('longest').value = ''; document.getElementById('fresh').click()));
	is($b->js(q(document.querySelectorAll('.turn').length)), 0, 'New starts anew');
	is($b->js(q(import('/page/chat.js').then(({ rich }) => { const p = document.createElement('p');
		p.append(...rich('a **b** `c` <i>\n```c\nint x; // `y`\n```\nend')); return p.innerHTML; }))),
		"a <strong>b</strong> <code>c</code> &lt;i&gt;\n<pre><code>int x; // `y`\n</code></pre>end",
		'fences, code and bold are set, tags are text');

	# the second turn may have ended before Escape came: one that surely has not
	$b->js(q((() => { const stop = new AbortController(); fetch('/v1/completions', { method: 'POST', signal: stop.signal,
		headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ model: 'demo', prompt: 'Once', stream: true,
		ignore_eos: true, logprobs: 20, max_tokens: 1500 }) }).then((r) => r.body.getReader().read())
		.then(() => stop.abort()).catch(() => 0); })()));

	# ---- the other views, by the keyboard
	$b->press('2', 1);
	ok($b->until_true(q(document.querySelectorAll('#model-rows tr').length === 1)), 'the table of models');
	like($b->js(q(document.querySelector('#model-rows').textContent)), qr/demo.*llama/s, 'tells what they are');
	$shot->('models');
	$b->press('ArrowRight');
	is($b->js('location.hash'), '#metrics', 'arrows move between views');
	ok($b->until_true(q(document.querySelectorAll('canvas').length === 4 &&
		/generated \d/.test(document.querySelector('figcaption').textContent))), 'metrics are plotted');
	ok($b->until_true(q(/Generated tokens\d.*Cancelled requests[12]/.test(
		document.getElementById('totals').textContent))), 'and summed');
	is($b->js(q(import('/page/metrics.js').then(({ quantile }) => quantile(0.5, 'h', undefined,
		new Map([['h_bucket{le="1"}', 0], ['h_bucket{le="2"}', 4], ['h_bucket{le="+Inf"}', 4]]))))), 1.5,
		'a median lies within its bucket');
	$shot->('metrics');
	$b->press('4', 1);
	$b->js(q(document.getElementById('text-in').focus()));
	$b->type("Once upon a time, naïve 🙂");
	ok($b->until_true(q(document.querySelectorAll('#pieces span').length > 3)), 'a text is cut into tokens');
	is($b->js(q(fetch('/tokenize', { method: 'POST', body: JSON.stringify({ content:
		document.getElementById('text-in').value }) }).then((r) => r.json()).then((j) => j.tokens.length))),
		$b->js(q(document.querySelectorAll('#pieces span').length)), 'all of them');
	$b->press('Enter', 2);
	ok($b->until_true(q(/perplexity \d/.test(document.getElementById('text-sum').textContent))), 'and scored')
		or diag $b->js(q(document.getElementById('text-sum').textContent));
	$shot->('text');
	$b->js(q(document.getElementById('theme').click()));
	my $theme = $b->js(q(document.documentElement.dataset.theme));
	like($theme, qr/^(?:dark|light)$/, 'there are two looks');
	$b->press('1', 1);
	$shot->('other-look');
	$b->go("$url/#models");
	is($b->js(q(document.documentElement.dataset.theme)), $theme, 'the choice is kept');
	my @bad = grep { !/400 \(Bad Request\)/ } $b->complaints;
	is("@bad", '', 'the console is quiet');
	$b->close;
}

kill TERM => $s->{pid};
is(finish($s)->{rc}, 0, 'the server ends well');
done_testing();
