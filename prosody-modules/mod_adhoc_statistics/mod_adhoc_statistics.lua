-- Publishes Prosody's statistics registry as one ad-hoc command (XEP-0050), for an exporter that is
-- an external component of this server. Loaded in the component's own section, which is all the
-- configuration there is. README.md specifies the exchange.
--
-- This module is MIT/X11 licensed.

local adhoc_new = module:require "adhoc".new;
local jid_bare, jid_host, jid_prep = require "util.jid".bare, require "util.jid".host, require "util.jid".prep;
local new_id = require "util.uuid".generate;
local st = require "util.stanza";
local statsman = require "core.statsmanager";
local time_now = require "util.time".now;

local node = "urn:prosody-exporter:statistics:1";
local xmlns_cmd = "http://jabber.org/protocol/commands";
local xmlns_errors = "urn:ietf:params:xml:ns:xmpp-stanzas";

-- Bytes of names that a reader may ask for at a time.
local max_names = 8 * 1024;
-- Seconds between two collections, over all instances and readers.
local collect_interval = 0.1;

local access = module:get_option_set("adhoc_statistics_access", {}) / jid_prep;
local collect_mode = module:get_option_string("statistics_collect", "auto");
if collect_mode ~= "auto" and collect_mode ~= "always" then
	module:log("error", "statistics_collect must be \"auto\" or \"always\", not %q; using \"auto\"", collect_mode);
	collect_mode = "auto";
end
-- What readers together may take of Prosody's time in the long run.
local max_share = module:get_option_number("adhoc_statistics_max_share", 0.25);
if type(max_share) ~= "number" or not (max_share > 0 and max_share <= 1) then
	module:log("error", "adhoc_statistics_max_share must be a number above 0, up to 1; using 0.25");
	max_share = 0.25;
end

local index_lib = module:require "index";
local legacy_lib = module:require "legacy";
local limit_lib = module:require "limit";
local people_lib = module:require "people";
local page_lib = module:require "page";
local text_lib = module:require "text";
local turn_lib = module:require "turn";

-- An error (RFC 6120 §8.3) to refuse requests with.
local function failure(type_, condition, text)
	return st.stanza("error", { type = type_ })
		:tag(condition, { xmlns = xmlns_errors }):up()
		:tag("text", { xmlns = xmlns_errors }):text(text):up();
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
	index.collecting = (index.collecting or 0) + index.collect_cost;
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

-- Logs what a peer could make happen at each request, but once in ten minutes for each kind.
local logged = {};
local function log_seldom(level, kind, ...)
	local now = time_now();
	if not logged[kind] or math.abs(now - logged[kind]) >= 600 then
		logged[kind] = now;
		module:log(level, ...);
	end
end

-- No address of a person goes into the log.
local function describe(reader)
	return reader == module.host and "The component" or "A reader of adhoc_statistics_access";
end

local at_once = failure("wait", "resource-constraint",
	"Too many requests at once: ask for a page when the one before it has come");
local over_share = failure("wait", "resource-constraint",
	"Reading statistics took more than adhoc_statistics_max_share of Prosody's time");
local unread = failure("wait", "policy-violation",
	"Earlier answers were not read yet: ask for a page when the one before it has come");
local malformed = failure("modify", "bad-request",
	"first and last are ids, from 1 on; since is change numbers that answers gave; hosts are at most 8 KB");

local function write_page(index, origin, stanza, attr)
	local request = page_lib.read_request(attr);
	if not request then return malformed; end
	if request.first == 1 then
		local ok, err = collect(index);
		if not ok then
			return failure("wait", "internal-server-error", text_lib.clip(text_lib.clean(err)));
		end
		-- A handler may have replaced a family.
		index:settle();
	end
	local payload, texts = page_lib.write(index, request, node);
	local completed = { xmlns = xmlns_cmd; node = node; status = "completed" };
	local reply = st.reply(stanza):tag("command", completed):add_child(payload);
	-- mod_component sends what it is given as text. A host, which sends for modules, is of the same type
	-- where it is a component, and takes stanzas only.
	if origin.type == "component" and origin.conn then
		origin.send(page_lib.to_text(reply, texts));
	else
		page_lib.fill(payload, texts);
		origin.send(reply);
	end
end

local function write_form(index, origin, stanza)
	collect(index);
	index:settle();
	local command = { xmlns = xmlns_cmd; node = node; status = "completed" };
	command.sessionid = stanza.tags[1].attr.sessionid or new_id();
	origin.send(st.reply(stanza):tag("command", command):add_child(people_lib.write(index)));
end

-- Which of these names are hosts of this server. A reader that asks any other name something makes Prosody
-- connect to that server.
local function write_hosts(origin, stanza, names)
	if not names or #names > max_names then return malformed; end
	local served = {};
	for name in names:gmatch("%S+") do
		if prosody.hosts[name] then served[#served + 1] = name; end
	end
	local command = { xmlns = xmlns_cmd; node = node; status = "completed" };
	origin.send(st.reply(stanza):tag("command", command)
		:tag("hosts", { xmlns = node }):text(table.concat(served, " ")));
end

local function asks_hosts(stanza)
	return stanza.tags[1]:get_child("hosts", node) ~= nil;
end

-- Answers who may read, or returns a failure. `visit` gets the accounts that pay for it.
local function answer(visit, reader, origin, stanza)
	local hosts = stanza.tags[1]:get_child("hosts", node);
	if hosts then
		return write_hosts(origin, stanza, hosts:get_text());
	end
	local index, err = get_index();
	err = err or index.registry.failure;
	if err then
		return failure("cancel", "feature-not-implemented", err);
	end
	local request = stanza.tags[1]:get_child("statistics", node);
	local attr = request and request.attr;
	-- Before anything is read: to refuse must cost next to nothing.
	local accounts = limit_lib.admit(index, reader, max_share, time_now(), not attr or page_lib.is_start(attr));
	if not accounts then
		log_seldom("warn", reader, "%s asks for more statistics than adhoc_statistics_max_share leaves it", describe(reader));
		return over_share;
	end
	if limit_lib.is_unread(origin.conn) then
		return unread;
	end
	visit.accounts, visit.index, visit.collecting = accounts, index, index.collecting or 0;
	index:settle();
	return (attr and write_page or write_form)(index, origin, stanza, attr);
end

-- Access: the component of this very host, and who is named in adhoc_statistics_access. No rights of
-- an admin are needed, and none are enough. A component that may use any address
-- (validate_from_addresses = false) could otherwise use ours.
--
-- Returns who pays for it, or nil.
local function get_reader(origin, from)
	if origin.type == "component" and origin.host ~= jid_host(from) then
		return nil;
	end
	if from == module.host then
		return origin.type == "component" and origin.host == module.host and from or nil;
	end
	local bare = jid_bare(from);
	return access:contains(bare) and bare or nil;
end

-- To refuse costs Prosody about as much as a ping: on a stream the same element goes into every answer. A
-- host hands what it is sent to modules, which may change it.
local function refuse(origin, stanza, refusal)
	local reply = st.reply(stanza);
	reply.attr.type = "error";
	reply:add_direct_child(origin.conn and refusal or st.clone(refusal));
	origin.send(reply);
end

local forbidden = failure("auth", "forbidden",
	"Only the component "..module.host.." and who is named in adhoc_statistics_access may read statistics");

-- When the component was answered last.
local answered_at = 0;

-- Answers one who may read, and counts what that takes.
local function serve(reader, origin, stanza)
	local started = os.clock();
	local visit = {};
	-- Without pcall an error means no reply at all, and the reader learns of it by a time-out.
	local ok, result = pcall(answer, visit, reader, origin, stanza);
	local took = os.clock() - started;
	turn_lib.take(took);
	if visit.accounts then
		-- Collections have their own limit, above.
		limit_lib.take(visit.accounts, took - ((visit.index.collecting or 0) - visit.collecting));
	end
	if reader == module.host and not asks_hosts(stanza) then answered_at = turn_lib.now(); end
	if not ok then
		log_seldom("error", "failure", "Reading statistics failed: %s", result);
		result = failure("cancel", "internal-server-error", "Reading statistics failed, see Prosody's log");
	end
	return result;
end

-- Before mod_adhoc has its turn, which hooks this event in Prosody 0.10 (priority 500) and in later versions
-- "iq-set/host/…", which comes after it. A handler there is told neither the session, by which access is
-- decided, nor any payload but a data form, each field of which would cost a reader as much as a hundred
-- values; nor could it tell what sending takes.
module:hook("iq/host/"..xmlns_cmd..":command", function (event)
	local origin, stanza = event.origin, event.stanza;
	if stanza.attr.type ~= "set" or stanza.tags[1].attr.node ~= node then
		return;
	end
	local reader = get_reader(origin, stanza.attr.from);
	local refusal;
	if not reader then
		refusal = forbidden;
	-- The component is always told which hosts there are: a question costs no more than its refusal would.
	elseif reader == module.host and asks_hosts(stanza) or turn_lib.admit(reader == module.host and answered_at or nil) then
		refusal = serve(reader, origin, stanza);
	else
		refusal = at_once;
		log_seldom("warn", at_once, "%s asks for more statistics at once than Prosody gives", describe(reader));
	end
	if refusal then refuse(origin, stanza, refusal); end
	return true;
end, 510);

-- For mod_adhoc's list of commands. COMPAT before 0.12 everybody is a "user".
module:depends("adhoc");
module:provides("adhoc", adhoc_new("Statistics for Prometheus", node, function ()
	error("The hook above answers");
end, statsman.metric and "any" or "user"));
