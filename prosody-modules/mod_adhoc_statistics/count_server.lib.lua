-- Measures the start time of Prosody, the lag of its main loop, and the expiry times of certificates.

local certmanager = require "core.certmanager";
local configmanager = require "core.configmanager";
local parse_datetime = require "util.datetime".parse;
local resolve_path = require "util.paths".resolve_relative_path;
local time = require "util.time";
local timer = module:require "timer";
-- COMPAT util.time.monotonic() is new in Prosody 0.12.
local now = time.monotonic or time.now;
local hosts = prosody.hosts;

-- Sets the start time for all hosts except external components, which are other processes with their own start times.
local function count_start_time(scope)
	local family = scope.metric("gauge", "xmpp_start_time_seconds", "",
		"Start time of the server, in seconds since 1970.", { "host" });
	local unset = {};
	scope.each_host(function (host, host_session)
		unset[host] = not host_session.modules.component or nil;
	end);
	scope.on_update(function ()
		if not prosody.start_time then return; end
		for host in pairs(unset) do
			family:with_labels(host):set(prosody.start_time);
			unset[host] = nil;
		end
	end);
end

local lag_interval = 1;

local function count_loop_lag(scope)
	local lag = scope.metric("histogram", "xmpp_loop_lag", "seconds",
		"Time for which Prosody's single thread was blocked, measured once per second.", {},
		{ buckets = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 } }):with_labels();
	local due;
	local task = timer.add_task(lag_interval, function ()
		local started = now();
		-- `due` is nil until Prosody has started: timers that are late because of the start are not counted.
		if due then lag:sample(math.max(0, started - due)); end
		due = prosody.start_time and started + lag_interval;
		return lag_interval;
	end);
	scope.on_stop(function () timer.stop(task); end);
end

local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 };

-- Returns the path of the certificate that Prosody sends to clients of a host. The search order is that of mod_tls and
-- core.certmanager.
local function find_certificate_file(host)
	local parent = host:match("%.(.*)$");
	for _, place in ipairs { { host, "c2s_ssl" }, { parent, "c2s_ssl" }, { host, "ssl" }, { parent, "ssl" }, { "*", "c2s_ssl" }, { "*", "ssl" } } do
		local ssl_options = place[1] and configmanager.rawget(place[1], place[2]);
		local file = type(ssl_options) == "table" and ssl_options.certificate;
		if type(file) == "string" then
			return resolve_path(prosody.paths.config or ".", file);
		end
	end
	local found;
	if certmanager.find_host_cert then
		found = certmanager.find_host_cert(host);
	else -- COMPAT find_host_cert() is new in Prosody 0.12.
		found = select(3, certmanager.create_context(host, "server"));
	end
	return found and found.certificate;
end

-- Returns the expiry time of the first certificate in a PEM file. The first certificate is that of the host; the
-- certificates of its authorities follow.
local function read_expiry(file)
	local f = assert(io.open(file));
	local pem = f:read("*a");
	f:close();
	local text = assert(require "ssl".loadcertificate(pem)):notafter();
	-- notafter() returns a time in the format of OpenSSL, for example "Nov  2 21:23:35 2026 GMT".
	local month, day, clock, year = text:match("^(%a+) +(%d+) ([%d:]+) (%d+) GMT$");
	return assert(parse_datetime(("%s-%02d-%02dT%sZ"):format(year, months[month], tonumber(day), clock)));
end

-- Reads each certificate at the start, when a host is added, and when the configuration is reloaded, as Prosody does.
-- If a certificate was renewed on disk but not reloaded, clients still get the old certificate, so the metric has the
-- old expiry time.
local function count_certificates(scope)
	local family = scope.metric("gauge", "xmpp_certificate_expiry_timestamp_seconds", "",
		"Expiry time of the host's certificate, as Prosody last loaded it, in seconds since 1970.", { "host" });
	local function read(host)
		local ok, file = pcall(find_certificate_file, host);
		if not ok or not file then return; end
		local ok_read, seconds = pcall(read_expiry, file);
		if ok_read then
			family:with_labels(host):set(seconds);
		else
			scope.log("debug", "Could not read the certificate of %s: %s", host, seconds);
		end
	end
	local known = {};
	scope.each_host(function (host)
		known[host] = true;
		read(host);
	end);
	-- The low priority makes this handler run after that of core.certmanager, which searches for certificates again.
	scope.hook("config-reloaded", function ()
		for host in pairs(known) do
			if hosts[host] then read(host); end
		end
	end, -scope.highest_priority);
end

return { start_time = count_start_time; loop_lag = count_loop_lag; certificates = count_certificates };
