-- Measures the CPU time, the memory and the file descriptors of the Prosody process. Each metric exists only if the
-- platform offers its value. On Linux, most of these values are in /proc/self, which a process can always read for itself,
-- also in a container and with the mount option hidepid.

local lfs = require "lfs";
local throttle = module:require "throttle".throttle;
local has_pposix, pposix = pcall(require, "util.pposix");

-- Reading files takes more of Prosody's time than all other metrics of this module, so the memory and the file
-- descriptors are read once a minute. This number of seconds is a little shorter than a minute, so that collections with
-- an interval of one minute always get new values.
local file_pause = 55;

local function read_file(path)
	local f = io.open(path);
	if not f then return ""; end
	local text = f:read("*a");
	f:close();
	return text or "";
end

-- The unit of times in /proc/self/stat is 1/100 s (USER_HZ) on every architecture for which Debian has Prosody.
local ticks_per_second = 100;
-- The second field of /proc/self/stat is the name of the program, in parentheses. It can contain any character. The
-- fields 14 and 15 are utime and stime (proc_pid_stat(5)).
local stat_pattern = "^.*%) %a"..(" %S+"):rep(10).." (%d+) (%d+) ";

local function read_cpu_seconds()
	local utime, stime = read_file("/proc/self/stat"):match(stat_pattern);
	return utime and (utime + stime) / ticks_per_second;
end

-- Whether the result of os.clock() never overflows. If the C type `long` has 32 bits, it overflows after 36 minutes.
local function has_long_clock()
	if string.packsize then return string.packsize("l") == 8; end -- luacheck: ignore 143
	-- COMPAT Lua 5.1 and 5.2 write the size of size_t into the header of precompiled code. On Linux, `long` has the same size.
	local header = string.dump(function () end);
	return header:sub(1, 4) == "\27Lua" and header:byte(9) == 8;
end

-- Returns the CPU time of the process, in user mode and in the kernel.
local get_cpu_seconds = has_long_clock() and os.clock or read_cpu_seconds;

local function read_resident_bytes()
	local kilobytes = read_file("/proc/self/status"):match("\nVmRSS:%s*(%d+) kB\n");
	return kilobytes and kilobytes * 1024;
end

-- Returns the soft limit. If there is no limit, getrlimit() returns "unlimited".
local function read_max_fds()
	if not has_pposix or not pposix.getrlimit then return nil; end
	local ok, soft_limit = pposix.getrlimit("NOFILE");
	return ok and tonumber(soft_limit) or nil;
end

local function count_entries(directory)
	local count = 0;
	for name in lfs.dir(directory) do
		if name ~= "." and name ~= ".." then count = count + 1; end
	end
	return count;
end

local function read_open_fds()
	local count = lfs.attributes("/proc/self/fd", "size") or 0;
	if count > 0 then return count; end
	-- COMPAT Before Linux 6.2, the size of /proc/self/fd is 0, so its entries are counted. Counting 10,000 entries takes
	-- 20 ms. One of the entries belongs to the open directory itself.
	local ok, entries = pcall(count_entries, "/proc/self/fd");
	return ok and entries - 1 or nil;
end

local function count_process(scope)
	local metrics = {};
	-- The metric is created when its first value is known, because a new metric has the value 0.
	local function set(value, type, name, unit, description)
		if not value then return; end
		metrics[name] = metrics[name] or scope.metric(type, name, unit, description, {}):with_labels();
		metrics[name]:set(value);
	end

	scope.on_update(function ()
		set(get_cpu_seconds(), "counter", "xmpp_process_cpu", "seconds",
			"CPU time of the Prosody process, in user mode and in the kernel.");
		set(collectgarbage("count") * 1024, "gauge", "xmpp_lua_heap", "bytes",
			"Memory that Lua uses in the Prosody process, including garbage that is not collected yet.");
	end);
	scope.on_update(throttle(function ()
		set(read_resident_bytes(), "gauge", "xmpp_process_resident_memory", "bytes",
			"Resident memory of the Prosody process.");
		set(read_open_fds(), "gauge", "xmpp_process_open_fds", "",
			"Number of open file descriptors of the Prosody process.");
		set(read_max_fds(), "gauge", "xmpp_process_max_fds", "",
			"Maximum number of open file descriptors of the Prosody process (soft limit).");
	end, file_pause));
end

return { process = count_process };
