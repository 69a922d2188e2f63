-- Counts logins of clients, and the stanzas that Prosody receives.

local filters = require "util.filters";
local usermanager = require "core.usermanager";
local configmanager = require "core.configmanager";
local each_session = module:require "sessions".each_session;

local kinds = { "message", "presence", "iq" };

-- COMPAT Before Prosody 0.12, a filter for received stanzas also gets the unavailable presence that mod_presence creates
-- when a client's connection is lost. No client sent that presence, so it must not be counted.
local is_before_0_12 = not require "core.statsmanager".metric;
local function is_presence_of_lost_client(stanza, session)
	return stanza.attr.type == "unavailable" and session.type == "c2s" and not prosody.full_sessions[session.full_jid];
end

-- Counts each received stanza with a filter of the stream on which it arrives. So a stanza counts once, even if a module
-- later copies, rewrites or routes it again. The streams of external components have no filters, so the stanzas of
-- components are counted when Prosody routes them.
local function count_stanzas(scope)
	local family = scope.metric("counter", "xmpp_stanzas", "",
		"Number of stanzas received from clients, other servers and external components, each counted once.",
		{ "host", "from", "kind" });
	local from_clients, from_servers, from_components = {}, {}, {};

	local function create_metrics(host, from)
		local metrics = {};
		for _, kind in ipairs(kinds) do
			metrics[kind] = family:with_labels(host, from, kind);
		end
		return metrics;
	end

	local by_type = { c2s = from_clients; s2sin = from_servers; s2sout = from_servers };
	local function count_in(stanza, session)
		local by_host = by_type[session.type];
		-- COMPAT Before Prosody 0.12, the session of an incoming server connection has `to_host` instead of `host`.
		local by_kind = by_host and by_host[session.host or session.to_host];
		if by_kind and not stanza.attr.xmlns then
			local metric = by_kind[stanza.name];
			if metric and not (is_before_0_12 and is_presence_of_lost_client(stanza, session)) then metric:add(1); end
		end
		return stanza;
	end

	scope.each_host(function (host, host_session, hook)
		from_servers[host] = create_metrics(host, "server");
		if host_session.type == "local" then
			from_clients[host] = create_metrics(host, "client");
		elseif host_session.modules.component then
			from_components[host] = create_metrics(host, "component");
		end

		local function count_routed(event)
			local origin = event.origin;
			-- An origin of type "component" without a connection is a host from which a module sends, and not an
			-- external component. Stanzas of a component to its own address, such as requests for statistics, are not
			-- counted.
			if origin and origin.type == "component" and origin.conn
			and (origin.host ~= host or event.to_host) then
				local by_kind = from_components[origin.host];
				local metric = by_kind and by_kind[event.stanza.name];
				if metric then metric:add(1); end
			end
		end
		for _, kind in ipairs(kinds) do
			for _, to in ipairs { "/bare", "/full", "/host" } do
				hook(kind..to, count_routed, scope.highest_priority);
			end
		end
		hook("route/remote", count_routed, scope.highest_priority); -- only events route/remote have the field to_host
	end);

	local function add_filter(session)
		filters.add_filter(session, "stanzas/in", count_in, scope.highest_priority);
	end
	filters.add_filter_hook(add_filter);

	each_session(add_filter);
	scope.on_stop(function ()
		filters.remove_filter_hook(add_filter);
		each_session(function (session)
			filters.remove_filter(session, "stanzas/in", count_in);
		end);
	end);
end

-- Returns the set of SASL mechanisms that mod_saslauth offers to clients of a host. The set is empty if the
-- authentication provider of the host lists its mechanisms only for a connected client.
local function find_mechanisms(host)
	local session = { type = "c2s_unauthed"; host = host; log = function () end; send = function () end };
	local ok, handler = pcall(usermanager.get_sasl_handler, host, session);
	if not ok or type(handler) ~= "table" then return {}; end
	local found, mechanisms = {}, handler.mechs;
	if type(mechanisms) ~= "table" then
		ok, mechanisms = pcall(handler.mechanisms, handler);
		if not ok or type(mechanisms) ~= "table" then return {}; end
	end
	local disabled = configmanager.get(host, "disable_sasl_mechanisms") or { "DIGEST-MD5" };
	for mechanism in pairs(mechanisms) do found[mechanism] = true; end
	if type(disabled) ~= "table" then disabled = { disabled }; end
	for _, mechanism in ipairs(disabled) do found[mechanism] = nil; end
	return found;
end

local function count_logins(scope)
	local logins = scope.metric("counter", "xmpp_logins", "",
		"Number of successful client authentications, by SASL mechanism.", { "host", "mechanism" });
	local failures = scope.metric("counter", "xmpp_login_failures", "",
		"Number of SASL exchanges that the server ended with a failure, by mechanism.", { "host", "mechanism" });

	scope.each_host(function (host, host_session, hook)
		if host_session.type ~= "local" then return; end
		for mechanism in pairs(find_mechanisms(host)) do
			logins:with_labels(host, mechanism);
			failures:with_labels(host, mechanism);
		end
		local function new_handler(family)
			return function (event)
				-- `selected` is a mechanism that the server offers, so a client can't create new label values.
				local handler = event.session.sasl_handler;
				family:with_labels(host, handler and handler.selected or "unknown"):add(1);
			end
		end
		hook("authentication-success", new_handler(logins), scope.highest_priority);
		hook("authentication-failure", new_handler(failures), scope.highest_priority);
	end);
end

return { stanzas = count_stanzas; logins = count_logins };
