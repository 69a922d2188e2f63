-- A Prosody module for benchmarks: measures how much time and memory mod_adhoc_statistics uses, separately from
-- everything else in Prosody.
--
-- The module registers `test_control_series` counters in `test_control_families` metric families. At every stats-update,
-- one counter in ten increases. POST /test_control runs a command, for example to increase counters without a
-- collection, to allocate garbage, or to report the time and memory of each page of statistics, with the garbage
-- collector running or stopped. Use this module only in a private Prosody on loopback, and never install it.
module:set_global();
module:depends("http");
local json = require "util.json";
local statsman = require "core.statsmanager";
local timer = require "util.timer";

local clock, collectgarbage = os.clock, collectgarbage;
local count = module:get_option_number("test_control_series", 1000);
local family_count = module:get_option_number("test_control_families", 10);

local metrics = {};
for f = 1, family_count do
	local family = statsman.metric("counter", "test_series_"..f, "", "Synthetic series number "..f, { "host", "kind", "shard" });
	for i = 1, count / family_count do
		metrics[#metrics + 1] = family:with_labels("host"..(i % 10)..".example.com", "kind-"..(i % 7), "shard-"..i);
	end
end

local turn = 0;
local function move()
	turn = turn + 1;
	for i = 1 + turn % 10, #metrics, 10 do
		metrics[i]:add(i % 10 == 0 and 0.5 or 1);
	end
end
module:hook_global("stats-update", move);

-- Allocates the same kinds of objects as mod_adhoc_statistics allocates for a page: short strings, the text of an XML
-- element, a few small tables.
local garbage_unit, serial = 0, 0; -- the bytes that one call of make_garbage() allocates; the number of its last line
local function make_garbage()
	local lines = {};
	for i = 1, 100 do
		serial = serial + 1;
		lines[i] = serial.."\t"..(serial % 1000).."\n";
	end
	return { name = "lines"; attr = {}; tags = {}; table.concat(lines) };
end

local function allocate(bytes)
	for _ = 1, bytes / garbage_unit do make_garbage(); end
end

-- Returns the kilobytes that the function `work` allocates. The garbage collector is stopped while `work` runs.
local function measure_allocation(work)
	collectgarbage("stop");
	local before = collectgarbage("count");
	work();
	local kilobytes = collectgarbage("count") - before;
	collectgarbage("restart");
	return kilobytes;
end
measure_allocation(make_garbage);
garbage_unit = measure_allocation(make_garbage) * 1024;

-- Both lists have the milliseconds of CPU time and the allocated kilobytes of each page since the last command `pages`.
-- `turns` includes the writing of the reply to the stream, and `pages` does not. The milliseconds do not include the
-- collection of Prosody's statistics. The kilobytes are correct only if the garbage collector is stopped, which the
-- command `collector_in_pages 0` does for each page.
local pages, turns = {}, {};
local is_gc_stopped_in_pages, collect_ms = false, 0;

local function run_timed(f, ...)
	local kilobytes, started = collectgarbage("count"), clock();
	local result = f(...);
	return { ms = (clock() - started) * 1000; kilobytes = collectgarbage("count") - kilobytes }, result;
end

local function wrap(host)
	module:context(host):wrap_event("iq/host/http://jabber.org/protocol/commands:command",
		function (handlers, event_name, event_data)
			local origin = event_data.origin;
			local send, sending = origin.send, { ms = 0; kilobytes = 0 };
			origin.send = function (...)
				local sent;
				sending, sent = run_timed(send, ...);
				return sent;
			end
			if is_gc_stopped_in_pages then collectgarbage("stop"); end
			collect_ms = 0;
			local turn, result = run_timed(handlers, event_name, event_data);
			turn.ms = turn.ms - collect_ms;
			turns[#turns + 1] = turn;
			pages[#pages + 1] = { ms = turn.ms - sending.ms; kilobytes = turn.kilobytes - sending.kilobytes };
			if is_gc_stopped_in_pages then collectgarbage("restart"); end
			origin.send = send;
			return result;
		end);
end

local collect = statsman.collect;
function statsman.collect(...)
	local cost, result = run_timed(collect, ...);
	collect_ms = collect_ms + cost.ms;
	return result;
end

-- A command returns this value if it sends its HTTP response itself, later.
local responds_later = {};

local commands = {};

function commands.wrap()
	for host in pairs(prosody.hosts) do wrap(host); end
end

function commands.move() move(); end

-- Increases counters. Then allocates `kilobytes` of garbage in `portions` equal portions, one every `interval` seconds,
-- as the pages of one read of all metrics do. Responds after the last portion.
function commands.move_and_allocate(response, kilobytes, portions, interval)
	move();
	local left = portions;
	timer.add_task(interval, function ()
		allocate(kilobytes * 1024 / portions);
		left = left - 1;
		if left > 0 then return interval; end
		response:send("null");
	end);
	return responds_later;
end

-- The command `stop` stops the garbage collector. The command `start` returns the kilobytes allocated since `stop`, and
-- restarts the collector. It also switches the generational mode off and on again. Otherwise the collector of Lua 5.4
-- would free nothing after the full collection of `stop` until the heap has doubled, and then free everything in one
-- pause. A Prosody that has run for a long time has no such pauses.
local stopped_at;
function commands.stop()
	collectgarbage();
	collectgarbage("stop");
	stopped_at = collectgarbage("count");
end
function commands.start()
	local kilobytes = collectgarbage("count") - stopped_at;
	collectgarbage("restart");
	local mode = collectgarbage("incremental");
	if mode == "generational" then collectgarbage("generational"); end
	return kilobytes;
end

function commands.collector_in_pages(_, value) is_gc_stopped_in_pages = value == 0; end

function commands.pages()
	local answer = { pages = pages; turns = turns };
	pages, turns = {}, {};
	return answer;
end

module:provides("http", { route = { POST = function (event)
	local words = {};
	for word in event.request.body:gmatch("%S+") do words[#words + 1] = tonumber(word) or word; end
	local result = commands[words[1]](event.response, table.unpack(words, 2));
	if result == responds_later then return true; end
	return { status_code = 200; body = json.encode(result == nil and json.null or result) };
end; }; });
