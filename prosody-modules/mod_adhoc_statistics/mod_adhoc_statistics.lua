-- Publishes Prosody's statistics registry as one ad-hoc command (XEP-0050), for an exporter that is
-- an external component of this server. Loaded in the component's own section, which is all the
-- configuration there is. README.md specifies the exchange.
--
-- This module is MIT/X11 licensed.

local adhoc_new = module:require "adhoc".new;
local dataforms_new = require "util.dataforms".new;
local jid_bare, jid_host, jid_prep = require "util.jid".bare, require "util.jid".host, require "util.jid".prep;
local st = require "util.stanza";
local statsman = require "core.statsmanager";
-- COMPAT Prosody 0.10 has no util.time
local has_time, time = pcall(require, "util.time");
local time_now = has_time and time.now or require "socket".gettime;

local node = "urn:prosody-exporter:statistics:1";
local xmlns_cmd = "http://jabber.org/protocol/commands";

-- Seconds after which a page ends: Prosody has but one thread, and others wait. In so long 20,000 ids
-- are compared, or 4,000 written out; a page of fewer costs as much for its stanzas as for itself.
local page_time = 0.003;
-- Bytes of text after which a page ends. A reply of over 4 MiB is cut by Prosody 13.0 and the stream
-- is dead from then on.
local page_bytes = 48 * 1024;
-- Bytes of text an element holds: parsers are quickest with a few KB in one text node.
local element_size = 4096;
-- Seconds between two collections, over all instances and readers.
local collect_interval = 0.1;
-- Bytes of change numbers that a request may give: a reader leaves the rest for the next one.
local max_since = 8 * 1024;
-- Lines that a person is shown.
local readable_lines = 500;

local access = module:get_option_set("adhoc_statistics_access", {}) / jid_prep;
local collect_mode = module:get_option_string("statistics_collect", "auto");
-- What readers together may take of Prosody's time in the long run, and at once in seconds.
local max_share = module:get_option_number("adhoc_statistics_max_share", 0.25);
local max_burst = 5;

local index_lib = module:require "index";
local legacy_lib = module:require "legacy";
local text_lib = module:require "text";

local function failure(type_, condition, text)
	-- COMPAT message is what mod_adhoc read before 0.12
	return { status = "error"; error = { type = type_; condition = condition; text = text; message = text } };
end

-- The index, or nil and the options to set.
local function get_index()
	if not statsman.get_metric_registry then
		local registry, err = legacy_lib.get_registry(statsman, time_now);
		return registry and index_lib.get_index(registry), err;
	end
	local registry = statsman.get_metric_registry();
	if registry then
		return index_lib.get_index(registry);
	end
	return nil, 'Prosody keeps no statistics: set statistics = "internal" (and statistics_interval = "manual") '
		.."in the global section of prosody.cfg.lua, above the first VirtualHost, and restart Prosody";
end

-- From the start, so that what is registered later is indexed as it comes.
local at_load, at_load_err = get_index();
if not at_load then
	module:log("error", "%s", at_load_err);
	-- COMPAT new in Prosody 0.12
	if module.set_status then module:set_status("error", at_load_err); end
end

-- What Prosody itself does not count.
if at_load then
	local counts = module:require "counts";
	-- COMPAT before 0.12 modules share no registry
	counts.start(statsman.metric or function (...) return at_load.registry:metric(...); end);
	function module.unload()
		counts.stop();
	end
end

module:hook_global("openmetrics-updated", function ()
	local index = get_index();
	if index then index.updated = time_now(); end
end);

-- With a numeric interval Prosody collects by itself and offers no collect(); "always" is for
-- operators who want fresh gauges at each reading all the same. Not more often than every 100 ms,
-- nor so often that handlers of stats-update take more than max_share of Prosody's time.
--
-- Returns nil and an error if some module's handler failed: those after it were not called, and to
-- give their old figures for new ones would be a lie.
local function collect(index)
	local fire = statsman.collect;
	if not fire and collect_mode == "always" and not index.registry.is_legacy then
		fire = function () prosody.events.fire_event("stats-update"); end
	end
	if not fire then return true; end
	local now = time_now();
	local pause = math.max(collect_interval, (index.collect_cost or 0) / max_share);
	if index.collected and now >= index.collected and now - index.collected < pause then
		return index.collect_error == nil, index.collect_error;
	end
	index.collected = now;
	local started = os.clock();
	local ok, err = pcall(fire);
	index.collect_cost = os.clock() - started;
	if ok then
		index.updated, index.collect_error = time_now(), nil;
		return true;
	end
	err = "A module's handler of stats-update failed, so that figures would be old: "..tostring(err);
	if err ~= index.collect_error then
		module:log("error", "%s", err);
		index.collect_error = err;
	end
	return nil, err;
end

-- A limit on what a runaway reader can cost: time spent here is taken from a budget that grows by
-- max_share seconds a second. Looked at when a run begins; one that began may end, so that of many
-- readers some are always served, until the debt is as large as the budget.
local function has_budget(index, is_start)
	local now = time_now();
	local grown = (index.budget or max_burst) + math.max(0, now - (index.budget_at or now)) * max_share;
	index.budget, index.budget_at = math.min(max_burst, grown), now;
	return index.budget > (is_start and 0 or -max_burst);
end

local over_budget = failure("wait", "resource-constraint",
	"Reading statistics took more than adhoc_statistics_max_share of Prosody's time");

-- The whole number that a field holds, or nil for anything else.
local function whole(text, default)
	if text == nil then return default; end
	return #text <= 15 and text:match("^%d+$") and tonumber(text) or nil;
end

-- Where the reader was: `41:700 42:1900 43` is 41 up to id 700, 42 from there to 1900, 43 for the rest.
-- Returns { last id, change number, … }, or nil if the text is something else.
local function read_cursors(text)
	if #text > max_since then return nil; end
	local cursors, n = {}, 0;
	for item in text:gmatch("%S+") do
		local since, last = item:match("^(%d+):?(%d*)$");
		since, last = whole(since or ""), last == "" and math.huge or whole(last or "");
		if not since or not last then return nil; end
		cursors[n + 1], cursors[n + 2], n = last, since, n + 2;
	end
	return n > 0 and cursors or nil;
end

local function read_page(index, fields)
	local first, last = whole(fields.first, 1), whole(fields.last, math.huge);
	local cursors = read_cursors(fields.since or "0");
	if not first or first < 1 or not last or not cursors then
		return failure("modify", "bad-request", "first and last are ids, from 1 on; since is change numbers that answers gave");
	end
	if not has_budget(index, first == 1) then
		return over_budget;
	end
	if first == 1 then
		local ok, err = collect(index);
		if not ok then
			return failure("wait", "internal-server-error", text_lib.clip(text_lib.clean(err)));
		end
		-- A handler may have replaced a family.
		index:settle();
	end
	if fields.epoch ~= index.epoch then
		cursors = { math.huge, 0 };
	end
	local started = os.clock();
	local payload = st.stanza("statistics", { xmlns = node });
	local buffer, total = {}, 0;
	local function is_over()
		return os.clock() - started >= page_time;
	end
	local function flush(count)
		if count == 0 then return false; end
		-- Not text_tag, which looks at each byte once more: everything in a line is clean.
		local lines = st.stanza("lines");
		lines[1] = table.concat(buffer, "", 1, count);
		payload:add_direct_child(lines);
		total = total + #lines[1];
		return total >= page_bytes or is_over();
	end
	last = index:read(first, math.min(last, index.size), cursors, buffer, element_size, flush, is_over);

	payload.attr.epoch = index.epoch;
	payload.attr.change = string.format("%d", index.change);
	payload.attr.size = string.format("%d", index.size);
	payload.attr.last = string.format("%d", last);
	if index.updated then
		payload.attr.updated = string.format("%.3f", index.updated);
	end
	index.budget = index.budget - (os.clock() - started);
	return { status = "completed"; other = payload };
end

-- For a person with a chat client: the first few hundred metrics, sorted.
local readable = dataforms_new {
	title = "Statistics of this server";
	instructions = "What modules measure. Names are those that Prometheus shows with / as __.";
	{ name = "updated"; type = "text-single"; label = "Last collection" };
	{ name = "statistics"; type = "text-multi"; label = "Statistics" };
};

local function read_for_people(index)
	if not has_budget(index, true) then
		return over_budget;
	end
	collect(index);
	local started = os.clock();
	local lines = {};
	for id = 1, math.min(index.size, readable_lines) do
		local record, labels = index.family[id], index.labels[id];
		local text = text_lib.clean(record.name);
		if labels and labels ~= "" then
			text = text.." "..labels:sub(2):gsub("\t", " ");
		end
		text = text_lib.clip(text);
		local metric = index.metric[id];
		if metric._count ~= nil then
			text = text.." = "..text_lib.number(metric._count).." (sum "..text_lib.number(metric._sum)..")";
		else
			text = text.." = "..text_lib.number(metric.value);
		end
		lines[id] = text;
	end
	table.sort(lines);
	if index.size > readable_lines then
		lines[#lines + 1] = string.format("… and %d more", index.size - readable_lines);
	end
	index.budget = index.budget - (os.clock() - started);
	return {
		status = "completed";
		result = {
			layout = readable;
			values = {
				updated = index.updated and os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(index.updated)) or "never";
				statistics = table.concat(lines, "\n");
			};
		};
	};
end

local function read_fields(form)
	local fields = {};
	for field in form:childtags("field") do
		fields[field.attr.var or ""] = field:get_child_text("value");
	end
	return fields;
end

local function handle(data)
	local index, err = get_index();
	err = err or index.registry.failure;
	if err then
		return failure("cancel", "feature-not-implemented", err);
	end
	index:settle();
	local fields = data.form and read_fields(data.form);
	if fields and fields.FORM_TYPE == node then
		return read_page(index, fields);
	end
	return read_for_people(index);
end

-- Without this an error in the handler means no reply at all, and the reader learns of it by a time-out.
local function handle_safely(_, data)
	local ok, result = pcall(handle, data);
	if ok then
		return result;
	end
	module:log("error", "Reading statistics failed: %s", result);
	return failure("cancel", "internal-server-error", "Reading statistics failed, see Prosody's log");
end

-- Access: the component of this very host, and who is named in adhoc_statistics_access. No rights of
-- an admin are needed, and none are enough. Checked before mod_adhoc (priority 500) has its turn,
-- because a handler is not told the session, and a component that may use any address
-- (validate_from_addresses = false) could otherwise use ours.
local function may_read(origin, from)
	if origin.type == "component" and origin.host ~= jid_host(from) then
		return false;
	end
	if from == module.host then
		return origin.type == "component" and origin.host == module.host;
	end
	return access:contains(jid_bare(from));
end

module:hook("iq-set/host/"..xmlns_cmd..":command", function (event)
	local origin, stanza = event.origin, event.stanza;
	if stanza.tags[1].attr.node ~= node or may_read(origin, stanza.attr.from) then
		return;
	end
	origin.send(st.error_reply(stanza, "auth", "forbidden",
		"Only the component "..module.host.." and who is named in adhoc_statistics_access may read statistics"));
	return true;
end, 510);

module:depends("adhoc");
module:provides("adhoc", adhoc_new("Statistics for Prometheus", node, handle_safely, "any"));
