-- Test only: what a benchmark needs inside Prosody to tell the module's doing from all else.
-- `test_control_series` counters in `test_control_families` families, of which one in ten moves at
-- every stats-update, and when POST /test_control says so and nobody collects; the same with garbage;
-- how long each page of mod_adhoc_statistics takes, with the garbage collector as it is or stopped.
-- Loopback of a private Prosody; never install this.
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

-- The kinds of things that a page leaves: short strings, an element's text, a few small tables.
local garbage_unit, serial = 0, 0;
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

-- Kilobytes that `work` allocates; the collector doesn't run meanwhile.
local function measured(work)
	collectgarbage("stop");
	local before = collectgarbage("count");
	work();
	local kilobytes = collectgarbage("count") - before;
	collectgarbage("restart");
	return kilobytes;
end
measured(make_garbage);
garbage_unit = measured(make_garbage) * 1024;

-- Since the last report, of each page milliseconds of CPU and kilobytes allocated: of the whole turn, and
-- of what the module does itself, less the writing of the stanza to the stream; in both less the handlers
-- of stats-update. Kilobytes are true while the collector is stopped, as it is for each page on demand.
local pages, turns = {}, {};
local without_gc, collecting = false, 0;

local function timed(f, ...)
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
				sending, sent = timed(send, ...);
				return sent;
			end
			if without_gc then collectgarbage("stop"); end
			collecting = 0;
			local turn, result = timed(handlers, event_name, event_data);
			turn.ms = turn.ms - collecting;
			turns[#turns + 1] = turn;
			pages[#pages + 1] = { ms = turn.ms - sending.ms; kilobytes = turn.kilobytes - sending.kilobytes };
			if without_gc then collectgarbage("restart"); end
			origin.send = send;
			return result;
		end);
end

local collect = statsman.collect;
function statsman.collect(...)
	local cost, result = timed(collect, ...);
	collecting = collecting + cost.ms;
	return result;
end

-- An answer that a command sends by itself.
local later = {};

local commands = {};

function commands.wrap()
	for host in pairs(prosody.hosts) do wrap(host); end
end

function commands.move() move(); end

-- Moves, then leaves `kilobytes` of garbage in so many equal portions, one each `interval` seconds, as
-- pages do. Answers when all is done.
function commands.move_and_allocate(response, kilobytes, portions, interval)
	move();
	local left = portions;
	timer.add_task(interval, function ()
		allocate(kilobytes * 1024 / portions);
		left = left - 1;
		if left > 0 then return interval; end
		response:send("null");
	end);
	return later;
end

-- The collector stands still until `start`, which tells the kilobytes allocated since, and then begins
-- anew in its mode. In Lua 5.4 a full collection in generational mode, as one that found a heap much
-- grown, otherwise means that nothing is collected until the heap has doubled, and then all of it at once:
-- so it is for a while after a start, but not in the long run.
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

function commands.collector_in_pages(_, value) without_gc = value == 0; end

function commands.pages()
	local answer = { pages = pages; turns = turns };
	pages, turns = {}, {};
	return answer;
end

module:provides("http", { route = { POST = function (event)
	local words = {};
	for word in event.request.body:gmatch("%S+") do words[#words + 1] = tonumber(word) or word; end
	local result = commands[words[1]](event.response, table.unpack(words, 2));
	if result == later then return true; end
	return { status_code = 200; body = json.encode(result == nil and json.null or result) };
end; }; });
