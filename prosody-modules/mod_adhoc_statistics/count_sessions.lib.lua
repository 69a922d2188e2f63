-- Counts connected clients, online users, MUC rooms and the occupants of these rooms.

local hosts = prosody.hosts;

local function no_rooms() end

-- Counts clients and users by events of Prosody, because iterating over 10,000 sessions at each collection would take
-- 10 ms.
local function count_clients(scope)
	local connections = scope.metric("gauge", "xmpp_client_connections", "",
		"Number of connected clients with a resource, over TCP, WebSocket or BOSH.", { "host" });
	local users = scope.metric("gauge", "xmpp_online_users", "",
		"Number of users with at least one session, including sessions that wait to be resumed.", { "host" });
	-- The key of these tables is the host. `hibernating` has the sessions that mod_smacks keeps without a connection until
	-- the client resumes them. There are few such sessions. They are checked at each collection, because no single event
	-- is fired when a session stops hibernating.
	local sessions, online, hibernating = {}, {}, {};
	local connection_metrics, user_metrics = {}, {};

	scope.each_host(function (host, host_session, hook)
		if host_session.type ~= "local" then return; end
		sessions[host], online[host], hibernating[host] = 0, 0, {};
		connection_metrics[host], user_metrics[host] = connections:with_labels(host), users:with_labels(host);
		for _, user in pairs(host_session.sessions) do
			online[host] = online[host] + 1;
			for _, session in pairs(user.sessions) do
				sessions[host] = sessions[host] + 1;
				if session.hibernating then hibernating[host][session] = true; end
			end
		end
		hook("resource-bind", function (event)
			sessions[host] = sessions[host] + 1;
			local user_sessions = host_session.sessions[event.session.username].sessions;
			local has_one_session = next(user_sessions, next(user_sessions)) == nil;
			if has_one_session then online[host] = online[host] + 1; end
		end, scope.highest_priority);
		hook("resource-unbind", function (event)
			sessions[host] = sessions[host] - 1;
			if not host_session.sessions[event.session.username] then online[host] = online[host] - 1; end
		end, scope.highest_priority);
		hook("smacks-hibernation-start", function (event)
			hibernating[host][event.origin] = true;
		end, scope.highest_priority);
	end);
	-- When a host is removed from Prosody, its gauges must become 0.
	scope.hook("host-deactivated", function (host)
		if sessions[host] then
			sessions[host], online[host], hibernating[host] = 0, 0, {};
		end
	end);

	scope.on_update(function ()
		for host, count in pairs(sessions) do
			for session in pairs(hibernating[host]) do
				if session.hibernating then
					count = count - 1;
				else
					hibernating[host][session] = nil;
				end
			end
			connection_metrics[host]:set(count);
			user_metrics[host]:set(online[host]);
		end
	end);
end

-- Returns an iterator over the rooms of a host that mod_muc has in memory, or nil if the host has no mod_muc. rawget is
-- necessary: a module's environment inherits _G, and Prosody logs a warning when code reads an unknown name in _G.
local function iterate_live_rooms(host)
	local muc = hosts[host] and hosts[host].modules.muc;
	if not muc then return nil; end
	local iterate = rawget(muc, "live_rooms");
	if iterate then return iterate(); end
	-- COMPAT In Prosody 0.10, mod_muc has a table of rooms by JID instead of live_rooms().
	local rooms = rawget(muc, "rooms");
	if type(rooms) ~= "table" then return nil; end
	local jid, room;
	return function ()
		jid, room = next(rooms, jid);
		return room;
	end
end

-- Counts only the rooms that mod_muc keeps in memory: at most muc_room_cache_size of each host, by default 100.
local function count_rooms(scope)
	local rooms = scope.metric("gauge", "xmpp_muc_live_rooms", "",
		"Number of rooms in memory, including hidden rooms.", { "host" });
	local occupants = scope.metric("gauge", "xmpp_muc_occupants", "",
		"Number of occupants of the rooms in memory, each nickname counted once.", { "host" });
	local room_metrics, occupant_metrics = {}, {};
	scope.on_update(function ()
		for host in pairs(hosts) do
			if not room_metrics[host] and iterate_live_rooms(host) then
				room_metrics[host], occupant_metrics[host] = rooms:with_labels(host), occupants:with_labels(host);
			end
		end
		for host, room_metric in pairs(room_metrics) do
			local room_count, occupant_count = 0, 0;
			for room in iterate_live_rooms(host) or no_rooms do
				room_count = room_count + 1;
				for _ in pairs(room._occupants) do
					occupant_count = occupant_count + 1;
				end
			end
			room_metric:set(room_count);
			occupant_metrics[host]:set(occupant_count);
		end
	end);
end

return { clients = count_clients; rooms = count_rooms };
