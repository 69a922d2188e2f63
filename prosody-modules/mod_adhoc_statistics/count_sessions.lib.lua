-- Who is there: clients, users, rooms and their occupants.

local hosts = prosody.hosts;

local function no_rooms() end

-- Counted as they come and go: to walk 10,000 sessions takes 10 ms.
local function count_clients(scope)
	local connections = scope.metric("gauge", "xmpp_client_connections", "",
		"Clients that are connected and have a resource, over TCP, WebSocket or BOSH", { "host" });
	local users = scope.metric("gauge", "xmpp_online_users", "",
		"Users with at least one session, one that waits to be resumed included", { "host" });
	-- Of each host. Those whose connection was lost and which mod_smacks keeps are looked at again
	-- each time: they are few, and leave that state in many ways.
	local sessions, online, hibernating = {}, {}, {};

	scope.each_host(function (host, host_session, hook)
		if host_session.type ~= "local" then return; end
		sessions[host], online[host], hibernating[host] = 0, 0, {};
		for _, user in pairs(host_session.sessions) do
			online[host] = online[host] + 1;
			for _, session in pairs(user.sessions) do
				sessions[host] = sessions[host] + 1;
				if session.hibernating then hibernating[host][session] = true; end
			end
		end
		hook("resource-bind", function (event)
			sessions[host] = sessions[host] + 1;
			local of_user = host_session.sessions[event.session.username].sessions;
			if next(of_user, next(of_user)) == nil then online[host] = online[host] + 1; end
		end, scope.first);
		hook("resource-unbind", function (event)
			sessions[host] = sessions[host] - 1;
			if not host_session.sessions[event.session.username] then online[host] = online[host] - 1; end
		end, scope.first);
		hook("smacks-hibernation-start", function (event)
			hibernating[host][event.origin] = true;
		end, scope.first);
	end);
	-- With no host none of its sessions.
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
			connections:with_labels(host):set(count);
			users:with_labels(host):set(online[host]);
		end
	end);
end

-- An iterator over the rooms of a host that mod_muc holds in memory, or nil. A module's environment inherits
-- _G, where reading an unknown name logs a warning (util.startup): hence rawget.
local function live_rooms(host)
	local muc = hosts[host] and hosts[host].modules.muc;
	if not muc then return nil; end
	local iterate = rawget(muc, "live_rooms");
	if iterate then return iterate(); end
	-- COMPAT Prosody 0.10 has a table, by address
	local rooms = rawget(muc, "rooms");
	if type(rooms) ~= "table" then return nil; end
	local jid, room;
	return function ()
		jid, room = next(rooms, jid);
		return room;
	end
end

-- Of the rooms in memory, of which mod_muc keeps 100 unless it is told otherwise.
local function count_rooms(scope)
	local rooms = scope.metric("gauge", "xmpp_muc_live_rooms", "",
		"Rooms in memory, hidden ones too", { "host" });
	local occupants = scope.metric("gauge", "xmpp_muc_occupants", "",
		"Occupants of the rooms in memory, each nickname once", { "host" });
	local known = {};
	scope.on_update(function ()
		for host in pairs(hosts) do
			if live_rooms(host) then known[host] = true; end
		end
		for host in pairs(known) do
			local room_count, occupant_count = 0, 0;
			for room in live_rooms(host) or no_rooms do
				room_count = room_count + 1;
				for _ in pairs(room._occupants) do
					occupant_count = occupant_count + 1;
				end
			end
			rooms:with_labels(host):set(room_count);
			occupants:with_labels(host):set(occupant_count);
		end
	end);
end

return { clients = count_clients; rooms = count_rooms };
