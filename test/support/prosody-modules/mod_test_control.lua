-- Test only: lets a benchmark separate the cost of mod_adhoc_statistics from everything else in Prosody.
--
-- It registers `test_control_series` counters in `test_control_families` families. At every stats-update, one counter
-- in ten increases. POST /test_control runs one of the commands below, for example to increase counters without a
-- collection, to allocate garbage, or to report the cost of each page, with the garbage collector running or stopped.
-- Use this only in a private Prosody on loopback, and never install it.
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

-- Allocates the same kinds of objects as a page: short strings, the text of an element, a few small tables.
local garbage_unit, serial = 0, 0; -- bytes of one make_garbage(); number of its last line
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

-- Returns the kilobytes that `work` allocates. The garbage collector is stopped meanwhile.
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

-- Milliseconds of CPU and kilobytes allocated, for each page since the last report. `turns` includes the writing of the
-- stanza to the stream, and `pages` does not. The milliseconds exclude collections. The kilobytes are correct only while
-- the garbage collector is stopped; collector_in_pages(0) stops it for each page.
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

-- Returned by a command that sends its response itself, later.
local responds_later = {};

local commands = {};

function commands.wrap()
	for host in pairs(prosody.hosts) do wrap(host); end
end

function commands.move() move(); end

-- Increases counters, then allocates `kilobytes` of garbage as pages do: in `portions` equal portions, one every
-- `interval` seconds. Responds after the last portion.
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

-- `stop` stops the garbage collector. `start` returns the kilobytes allocated since then, and restarts the collector.
-- It also switches the generational mode off and on again. Otherwise, in Lua 5.4, nothing would be collected after the
-- full collection of `stop` until the heap has doubled, and then everything in one pause. A server does that for a while
-- after its start, but not in the long run.
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
