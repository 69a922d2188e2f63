-- Publishes Prosody's statistics registry as one ad-hoc command (XEP-0050), for an exporter that is an external
-- component of this server. Load the module in the section of that component. README.md specifies the exchange.
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

-- Bytes of host names in one request.
local max_names = 8 * 1024;
-- Minimum seconds between two collections, for all instances of the module and all readers together.
local min_collect_pause = 0.1;

local access = module:get_option_set("adhoc_statistics_access", {}) / jid_prep;
local collect_mode = module:get_option_string("statistics_collect", "auto");
if collect_mode ~= "auto" and collect_mode ~= "always" then
	module:log("error", "statistics_collect must be \"auto\" or \"always\", not %q; using \"auto\"", collect_mode);
	collect_mode = "auto";
end
-- Share of Prosody's time that all readers together may use in the long run.
local max_share = module:get_option_number("adhoc_statistics_max_share", 0.25);
if type(max_share) ~= "number" or not (max_share > 0 and max_share <= 1) then
	module:log("error", "adhoc_statistics_max_share must be a number greater than 0 and at most 1; using 0.25");
	max_share = 0.25;
end

local form_lib = module:require "form";
local index_lib = module:require "index";
local legacy_lib = module:require "legacy";
local page_lib = module:require "page";
local reader_limits = module:require "reader_limits";
local text_lib = module:require "text";
local turn_limit = module:require "turn_limit";

-- A stanza error (RFC 6120 §8.3).
local function new_error(type_, condition, text)
	return st.stanza("error", { type = type_ })
		:tag(condition, { xmlns = xmlns_errors }):up()
		:tag("text", { xmlns = xmlns_errors }):text(text):up();
end

-- Returns the index, or nil and a text that names the options to set.
local function get_index()
	if not statsman.get_metric_registry then
		local registry, err = legacy_lib.get_registry(statsman, time_now);
		return registry and index_lib.get_index(registry), err;
	end
	local registry = statsman.get_metric_registry();
	if registry then
		return index_lib.get_index(registry);
	end
	-- prosody-exporter looks for "switched off" and for the value of statistics_interval.
	return nil, 'Statistics are switched off in Prosody: set statistics = "internal" and statistics_interval = "manual" '
		.."in the global section of prosody.cfg.lua, above the first VirtualHost, and restart Prosody";
end

-- The index is built when the module loads. Metrics that are created later are then added one by one.
local first_index, first_index_err = get_index();
if not first_index then
	module:log("error", "%s", first_index_err);
	-- COMPAT new in Prosody 0.12
	if module.set_status then module:set_status("error", first_index_err); end
end

-- Additional metrics
if first_index then
	local counts = module:require "counts";
	-- COMPAT before 0.12 Prosody has no registry that modules share
	counts.start(statsman.metric or function (...) return first_index.registry:metric(...); end);
	function module.unload()
		counts.stop();
	end
end

module:hook_global("openmetrics-updated", function ()
	local index = get_index();
	if index then index.updated = time_now(); end
end);

-- Makes Prosody collect, so that gauges are up to date. With a numeric statistics_interval, Prosody collects by
-- itself and there is no statsmanager.collect(); then only statistics_collect = "always" makes this function fire
-- stats-update. It collects at most every 100 ms, and so rarely that the handlers of stats-update use at most
-- max_share of Prosody's time.
--
-- Returns a false value and an error if a module's handler failed. The handlers after it were not called, so their
-- gauges have outdated values.
local function collect(index)
	local run = statsman.collect;
	if not run and collect_mode == "always" and not index.registry.is_legacy then
		run = function () prosody.events.fire_event("stats-update"); end
	end
	if not run then return true; end
	local now = time_now();
	local pause = math.max(min_collect_pause, (index.collect_cost or 0) / max_share);
	if index.collected and now >= index.collected and now - index.collected < pause then
		return index.collect_error == nil, index.collect_error;
	end
	index.collected = now;
	local started = os.clock();
	local ok, err = pcall(run);
	index.collect_cost = os.clock() - started;
	index.collect_total = (index.collect_total or 0) + index.collect_cost;
	if ok then
		index.updated, index.collect_error = time_now(), nil;
		return true;
	end
	err = "A module's handler of stats-update failed, so gauges are outdated: "..tostring(err);
	if err ~= index.collect_error then
		module:log("error", "%s", err);
		index.collect_error = err;
	end
	return nil, err;
end

-- Logs a message that a peer can cause with every request: at most once in ten minutes for each kind.
local logged_at = {};
local function log_throttled(level, kind, ...)
	local now = time_now();
	-- The clock may be set back.
	if not logged_at[kind] or math.abs(now - logged_at[kind]) >= 600 then
		logged_at[kind] = now;
		module:log(level, ...);
	end
end

-- The log must not contain JIDs of people.
local function describe_reader(reader)
	return reader == module.host and "The component" or "A reader in adhoc_statistics_access";
end

local too_many_requests = new_error("wait", "resource-constraint",
	"Too many requests at the same time: request a page after the previous one has arrived");
local share_exceeded = new_error("wait", "resource-constraint",
	"Reading statistics used more than adhoc_statistics_max_share of Prosody's time");
local unread_answers = new_error("wait", "policy-violation",
	"Earlier answers are still unread: request a page after the previous one has arrived");
local malformed_request = new_error("modify", "bad-request",
	"first and last must be ids (first from 1), since must be change numbers of earlier answers, and since and hosts are limited to 8 KB");

local function send_page(index, origin, stanza, attr)
	local request = page_lib.parse_request(attr);
	if not request then return malformed_request; end
	if request.first == 1 then
		local ok, err = collect(index);
		if not ok then
			return new_error("wait", "internal-server-error", text_lib.truncate(text_lib.escape(err)));
		end
		-- A handler of stats-update may have replaced a family.
		index:remove_dropped();
	end
	local payload, texts = page_lib.build(index, request, node);
	local completed = { xmlns = xmlns_cmd; node = node; status = "completed" };
	local reply = st.reply(stanza):tag("command", completed):add_child(payload);
	-- The stream of an external component accepts a string. An origin without a connection is a host through which a
	-- module sends; its type may be "component" too, but it accepts only stanzas.
	if origin.type == "component" and origin.conn then
		origin.send(page_lib.serialize(reply, texts));
	else
		page_lib.add_lines(payload, texts);
		origin.send(reply);
	end
end

local function send_form(index, origin, stanza)
	collect(index);
	index:remove_dropped();
	local command = { xmlns = xmlns_cmd; node = node; status = "completed" };
	command.sessionid = stanza.tags[1].attr.sessionid or new_id();
	origin.send(st.reply(stanza):tag("command", command):add_child(form_lib.build(index)));
end

-- Sends those of the names that are hosts of this server. Readers ask for this first, because a request to any other
-- name makes Prosody connect to another server.
local function send_hosts(origin, stanza, names)
	if not names or #names > max_names then return malformed_request; end
	local hosts = {};
	for name in names:gmatch("%S+") do
		if prosody.hosts[name] then hosts[#hosts + 1] = name; end
	end
	local command = { xmlns = xmlns_cmd; node = node; status = "completed" };
	origin.send(st.reply(stanza):tag("command", command)
		:tag("hosts", { xmlns = node }):text(table.concat(hosts, " ")));
end

local function is_hosts_request(stanza)
	return stanza.tags[1]:get_child("hosts", node) ~= nil;
end

-- Answers a reader, or returns an error stanza. Puts the accounts to charge into `usage`.
local function answer(usage, reader, origin, stanza)
	local hosts = stanza.tags[1]:get_child("hosts", node);
	if hosts then
		return send_hosts(origin, stanza, hosts:get_text());
	end
	local index, err = get_index();
	err = err or index.registry.failure;
	if err then
		return new_error("cancel", "feature-not-implemented", err);
	end
	local request = stanza.tags[1]:get_child("statistics", node);
	local attr = request and request.attr;
	-- This comes before the request is parsed, so that a refusal costs very little.
	local accounts = reader_limits.admit(index, reader, max_share, time_now(), not attr or page_lib.is_start(attr));
	if not accounts then
		log_throttled("warn", reader, "%s used more of Prosody's time than adhoc_statistics_max_share allows; refusing requests for now",
			describe_reader(reader));
		return share_exceeded;
	end
	if reader_limits.has_unread_answers(origin.conn) then
		return unread_answers;
	end
	usage.accounts, usage.index, usage.collect_total = accounts, index, index.collect_total or 0;
	index:remove_dropped();
	return (attr and send_page or send_form)(index, origin, stanza, attr);
end

-- Returns the JID whose account is charged, or nil if the sender has no access. The component of this host has access
-- through its own stream, and so do the bare JIDs in adhoc_statistics_access. Admin rights are neither required nor
-- sufficient. The stream is checked too, because another component with validate_from_addresses = false can send
-- from the address of this one.
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

-- Sends an error. On a stream all error replies share one element, so a refusal costs Prosody about as much as a ping.
-- A host passes the reply to modules, which may change it, so there it gets a copy.
local function send_error(origin, stanza, err)
	local reply = st.reply(stanza);
	reply.attr.type = "error";
	reply:add_direct_child(origin.conn and err or st.clone(err));
	origin.send(reply);
end

local forbidden = new_error("auth", "forbidden",
	"Only the component "..module.host.." and the JIDs in adhoc_statistics_access may read statistics");

-- When the component last received an answer about statistics.
local answered_at = 0;

-- Answers a reader, or returns an error stanza. Charges the time to the limits.
local function serve(reader, origin, stanza)
	local started = os.clock();
	local usage = {};
	-- Without pcall there would be no reply after an error, and the reader would have to wait for its time-out.
	local ok, result = pcall(answer, usage, reader, origin, stanza);
	local took = os.clock() - started;
	turn_limit.charge(took);
	if usage.accounts then
		-- The time of collections is not charged: collect() limits it.
		reader_limits.charge(usage.accounts, took - ((usage.index.collect_total or 0) - usage.collect_total));
	end
	if reader == module.host and not is_hosts_request(stanza) then answered_at = turn_limit.now(); end
	if not ok then
		log_throttled("error", "failure", "Reading statistics failed: %s", result);
		result = new_error("cancel", "internal-server-error", "Reading statistics failed, see Prosody's log");
	end
	return result;
end

-- This handler runs before mod_adhoc, which hooks the same event with priority 500 in Prosody 0.10. In later versions
-- mod_adhoc hooks "iq-set/host/…", which is fired after this event.
--
-- A handler that mod_adhoc calls is not enough. It does not get the session, on which access depends, and it can't
-- measure the time of sending. Its payload can only be a data form, whose fields cost as much time as a hundred values
-- each.
module:hook("iq/host/"..xmlns_cmd..":command", function (event)
	local origin, stanza = event.origin, event.stanza;
	if stanza.attr.type ~= "set" or stanza.tags[1].attr.node ~= node then
		return;
	end
	local reader = get_reader(origin, stanza.attr.from);
	local err;
	if not reader then
		err = forbidden;
	-- A component that asks for hosts is always answered: an answer costs no more than a refusal.
	elseif reader == module.host and is_hosts_request(stanza) or turn_limit.admit(reader == module.host and answered_at or nil) then
		err = serve(reader, origin, stanza);
	else
		err = too_many_requests;
		log_throttled("warn", too_many_requests, "%s sends too many requests at the same time; refusing some of them", describe_reader(reader));
	end
	if err then send_error(origin, stanza, err); end
	return true;
end, 510);

-- Adds the command to mod_adhoc's list. COMPAT before 0.12 there is no "any"; "user" means everybody.
module:depends("adhoc");
module:provides("adhoc", adhoc_new("Statistics for Prometheus", node, function ()
	error("The hook of mod_adhoc_statistics answers this command");
end, statsman.metric and "any" or "user"));
