-- Publishes Prosody's statistics registry as one ad-hoc command (XEP-0050), for an exporter that is
-- an external component of this server. Loaded in the component's own section, which is all the
-- configuration there is. README.md specifies the exchange.
--
-- This module is MIT/X11 licensed.

local adhoc_new = module:require "adhoc".new;
local jid_bare, jid_host, jid_prep = require "util.jid".bare, require "util.jid".host, require "util.jid".prep;
local st = require "util.stanza";
local statsman = require "core.statsmanager";
-- COMPAT Prosody 0.10 has no util.time
local has_time, time = pcall(require, "util.time");
local time_now = has_time and time.now or require "socket".gettime;

local node = "urn:prosody-exporter:statistics:1";
local xmlns_cmd = "http://jabber.org/protocol/commands";

-- Seconds between two collections, over all instances and readers.
local collect_interval = 0.1;

local access = module:get_option_set("adhoc_statistics_access", {}) / jid_prep;
local collect_mode = module:get_option_string("statistics_collect", "auto");
-- What readers together may take of Prosody's time in the long run, and at once in seconds.
local max_share = module:get_option_number("adhoc_statistics_max_share", 0.25);
local max_burst = 5;

local index_lib = module:require "index";
local legacy_lib = module:require "legacy";
local people_lib = module:require "people";
local page_lib = module:require "page";
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

-- The page that is asked for by these attributes, or a failure.
local function read_page(index, attr)
	local request = page_lib.read_request(attr);
	if not request then
		return nil, failure("modify", "bad-request", "first and last are ids, from 1 on; since is change numbers that answers gave");
	end
	if not has_budget(index, request.first == 1) then
		return nil, over_budget;
	end
	if request.first == 1 then
		local ok, err = collect(index);
		if not ok then
			return nil, failure("wait", "internal-server-error", text_lib.clip(text_lib.clean(err)));
		end
		-- A handler may have replaced a family.
		index:settle();
	end
	local started = os.clock();
	local payload, texts = page_lib.write(index, request, node);
	return { payload = payload; texts = texts; index = index; started = started };
end

local function read_for_people(index)
	if not has_budget(index, true) then
		return nil, over_budget;
	end
	collect(index);
	-- A handler may have replaced a family.
	index:settle();
	local started = os.clock();
	local result = people_lib.write(index);
	index.budget = index.budget - (os.clock() - started);
	return { status = "completed"; result = result };
end

-- What `read` returns of the index: its answer, or nil and a failure.
local function read_index(read, attr)
	local index, err = get_index();
	err = err or index.registry.failure;
	if err then
		return nil, failure("cancel", "feature-not-implemented", err);
	end
	index:settle();
	return read(index, attr);
end

-- Without this an error means no reply at all, and the reader learns of it by a time-out.
local function read_safely(read, attr)
	local ok, answer, refusal = pcall(read_index, read, attr);
	if ok then
		return answer, refusal;
	end
	module:log("error", "Reading statistics failed: %s", answer);
	return nil, failure("cancel", "internal-server-error", "Reading statistics failed, see Prosody's log");
end

-- Access: the component of this very host, and who is named in adhoc_statistics_access. No rights of
-- an admin are needed, and none are enough. A component that may use any address
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

-- Before mod_adhoc (priority 500) has its turn. A handler there is told neither the session, by which
-- access is decided, nor any payload but a data form, each field of which would cost a reader as much
-- as a hundred values.
module:hook("iq-set/host/"..xmlns_cmd..":command", function (event)
	local origin, stanza = event.origin, event.stanza;
	local command = stanza.tags[1];
	if command.attr.node ~= node then
		return;
	end
	if not may_read(origin, stanza.attr.from) then
		origin.send(st.error_reply(stanza, "auth", "forbidden",
			"Only the component "..module.host.." and who is named in adhoc_statistics_access may read statistics"));
		return true;
	end
	local request = command:get_child("statistics", node);
	if not request then
		return; -- a person's client
	end
	local page, refusal = read_safely(read_page, request.attr);
	if not page then
		local err = refusal.error;
		origin.send(st.error_reply(stanza, err.type, err.condition, err.text));
		return true;
	end
	local completed = { xmlns = xmlns_cmd; node = node; status = "completed" };
	local reply = st.reply(stanza):tag("command", completed):add_child(page.payload);
	-- mod_component sends what it is given as text. A host, which sends for modules, is of the same type
	-- where it is a component, and takes stanzas only.
	if origin.type == "component" and origin.conn then
		origin.send(page_lib.to_text(reply, page.texts));
	else
		page_lib.fill(page.payload, page.texts);
		origin.send(reply);
	end
	-- With the writing of it as text, a fifth of what a full page takes and most of an empty one.
	page.index.budget = page.index.budget - (os.clock() - page.started);
	return true;
end, 510);

local function handle_person()
	local answer, refusal = read_safely(read_for_people);
	return answer or refusal;
end

module:depends("adhoc");
module:provides("adhoc", adhoc_new("Statistics for Prometheus", node, handle_person, "any"));
