/* A driver library that never was: NVML's functions, as far as pipe calls them, over devices that are played.
 *
 *   cc -shared -fPIC -o libnvidia-ml.so.1 nvml.c                         with the declarations below
 *   cc -shared -fPIC -DNVIDIA_HEADER -I DIR -o libnvidia-ml.so.1 nvml.c  with NVIDIA's own nvml.h, which then checks ours
 *   -DOLD                                                                leaves out what older drivers do not have
 *
 * NVML_SCENE names what is played (see `scenes`). Readings are functions of the time of day alone, so that whoever else
 * reads them at the same moment, in another process, gets the same. NVML_LOG=FILE gets a line for each answer about
 * energy, utilisation and processes: what was told, so that what is made of it can be compared.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef NVIDIA_HEADER
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <nvml.h>
#else
typedef struct nvmlDevice_st *nvmlDevice_t;
typedef enum {
    NVML_SUCCESS = 0, NVML_ERROR_UNINITIALIZED = 1, NVML_ERROR_INVALID_ARGUMENT = 2, NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4, NVML_ERROR_NOT_FOUND = 6, NVML_ERROR_INSUFFICIENT_SIZE = 7,
    NVML_ERROR_DRIVER_NOT_LOADED = 9, NVML_ERROR_GPU_IS_LOST = 15, NVML_ERROR_LIB_RM_VERSION_MISMATCH = 18,
    NVML_ERROR_UNKNOWN = 999
} nvmlReturn_t;
typedef enum { NVML_TEMPERATURE_GPU = 0 } nvmlTemperatureSensors_t;
typedef enum { NVML_TOTAL_POWER_SAMPLES = 0, NVML_GPU_UTILIZATION_SAMPLES = 1 } nvmlSamplingType_t;
typedef enum { NVML_VALUE_TYPE_UNSIGNED_INT = 1 } nvmlValueType_t;
typedef union { double dVal; int siVal; unsigned int uiVal; unsigned long ulVal; unsigned long long ullVal; } nvmlValue_t;
typedef struct { unsigned long long timeStamp; nvmlValue_t sampleValue; } nvmlSample_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
typedef struct {
    unsigned int pid; unsigned long long usedGpuMemory; unsigned int gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;
typedef struct {
    unsigned int pid; unsigned long long timeStamp; unsigned int smUtil, memUtil, encUtil, decUtil;
} nvmlProcessUtilizationSample_t;
#define NVML_DEVICE_MIG_ENABLE 1
#define NVML_DEVICE_MIG_DISABLE 0
#define nvmlMemory_v2 ((unsigned int)(sizeof(nvmlMemory_v2_t) | (2 << 24U)))
#define nvmlClocksEventReasonSwPowerCap 0x4ULL
#endif

#define MIB 1048576ULL
typedef unsigned int u32;
typedef unsigned long long u64;

/* The layouts as this build has them, to 0xffffffff: both builds must agree. */
#define AT(type, field) offsetof(type, field)
const unsigned int pipe_nvml_layout[] = {
    sizeof(nvmlSample_t), AT(nvmlSample_t, sampleValue), sizeof(nvmlUtilization_t), AT(nvmlUtilization_t, memory),
    sizeof(nvmlMemory_t), AT(nvmlMemory_t, free), AT(nvmlMemory_t, used),
    sizeof(nvmlMemory_v2_t), AT(nvmlMemory_v2_t, total), AT(nvmlMemory_v2_t, reserved), AT(nvmlMemory_v2_t, free),
    AT(nvmlMemory_v2_t, used), nvmlMemory_v2,
    sizeof(nvmlProcessInfo_t), AT(nvmlProcessInfo_t, usedGpuMemory), AT(nvmlProcessInfo_t, gpuInstanceId),
    AT(nvmlProcessInfo_t, computeInstanceId),
    sizeof(nvmlProcessUtilizationSample_t), AT(nvmlProcessUtilizationSample_t, timeStamp),
    AT(nvmlProcessUtilizationSample_t, smUtil), AT(nvmlProcessUtilizationSample_t, decUtil),
    NVML_ERROR_UNINITIALIZED, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION,
    NVML_ERROR_NOT_FOUND, NVML_ERROR_INSUFFICIENT_SIZE, NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_GPU_IS_LOST,
    NVML_ERROR_LIB_RM_VERSION_MISMATCH, NVML_ERROR_UNKNOWN, NVML_TEMPERATURE_GPU, NVML_GPU_UTILIZATION_SAMPLES,
    NVML_VALUE_TYPE_UNSIGNED_INT, NVML_DEVICE_MIG_ENABLE, (unsigned int)nvmlClocksEventReasonSwPowerCap, 0xffffffff,
};

/* --- what is played ------------------------------------------------------------------------------------------------ */

struct scene {
    const char *name;
    nvmlReturn_t init;      /* what nvmlInit says */
    nvmlReturn_t handle;    /* what every device says to being opened */
    nvmlReturn_t readings;  /* what every reading says */
    u32 devices;
    u32 lost_after;         /* calls about the last device until it is lost; 0: never */
    int mig, no_samples, no_energy, crowd, two_compute;
    u32 stuck_after;        /* calls for energy until one does not come back; 0: never */
};

static const struct scene scenes[] = {
    {.name = "ordinary", .devices = 1},
    {.name = "shared", .devices = 1, .two_compute = 1},
    {.name = "pair", .devices = 2, .lost_after = 40},
    {.name = "dying", .devices = 1, .lost_after = 40},
    {.name = "gone", .devices = 1, .handle = NVML_ERROR_GPU_IS_LOST},
    {.name = "locked", .devices = 1, .handle = NVML_ERROR_NO_PERMISSION},
    {.name = "mig", .devices = 1, .mig = 1},
    {.name = "mute", .devices = 1, .readings = NVML_ERROR_NOT_SUPPORTED},
    {.name = "forbidden", .devices = 1, .readings = NVML_ERROR_NO_PERMISSION},
    {.name = "moody", .devices = 1, .readings = NVML_ERROR_UNKNOWN},
    {.name = "pascal", .devices = 1, .no_energy = 1},
    {.name = "quiet", .devices = 1, .no_samples = 1},
    {.name = "crowded", .devices = 1, .crowd = 1},
    {.name = "stuck", .devices = 1, .stuck_after = 12},
    {.name = "empty", .devices = 0},
    {.name = "mismatch", .init = NVML_ERROR_LIB_RM_VERSION_MISMATCH},
    {.name = "unloaded", .init = NVML_ERROR_DRIVER_NOT_LOADED},
    {.name = "barred", .init = NVML_ERROR_NO_PERMISSION},
};

struct nvmlDevice_st {
    u32 index;
    int instance; /* -1: the whole */
    u32 calls;
};

static struct nvmlDevice_st whole[2] = {{0, -1, 0}, {1, -1, 0}};
static struct nvmlDevice_st instances[2] = {{0, 0, 0}, {0, 3, 0}};
static const struct scene *scene;
/* Who starts the library twice ends it twice. */
static u32 started;

static void told(const char *format, u64 one, u64 two, u64 three) {
    const char *file = getenv("NVML_LOG");
    if (!file) return;
    char line[128];
    int length = snprintf(line, sizeof line, format, one, two, three);
    int log = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || write(log, line, (size_t)length) != length) abort();
    close(log);
}

static u64 now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (u64)now.tv_sec * 1000000 + (u64)now.tv_nsec / 1000;
}

/* An entry of the ring each 200 ms, and every fourth is a burst: one look a second meets one burst in four. */
#define ENTRY 200000ULL
#define RING 100
static u32 busy_of(u64 entry) { return entry % 4 == 1 ? 100 : 0; }
/* Joules of a burst's 200 ms at 250 W, and of another's at 60 W. */
#define BURST_MJ 50000ULL
#define CALM_MJ 12000ULL
/* The counter moves each 100 ms. It starts with this number of entries, not with those of 1970. */
#define EPOCH 8000000000ULL
static u64 energy_at(u64 us) {
    u64 entry = us / ENTRY, half = us % ENTRY / 100000, whole_entries = entry - EPOCH;
    u64 bursts = whole_entries / 4 + (whole_entries % 4 > 1 ? 1 : 0);
    u64 total = bursts * BURST_MJ + (whole_entries - bursts) * CALM_MJ;
    return total + half * (busy_of(entry) ? BURST_MJ : CALM_MJ) / 2;
}

static nvmlReturn_t look(nvmlDevice_t device) {
    if (!scene) return NVML_ERROR_UNINITIALIZED;
    if (!device) return NVML_ERROR_INVALID_ARGUMENT;
    device->calls++;
    if (scene->lost_after && device->index + 1 == scene->devices && device->calls > scene->lost_after)
        return NVML_ERROR_GPU_IS_LOST;
    return scene->readings;
}
#define LOOK(device) do { nvmlReturn_t seen = look(device); if (seen != NVML_SUCCESS) return seen; } while (0)

static nvmlReturn_t say(char *to, u32 size, const char *text) {
    if (strlen(text) + 1 > size) return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(to, text);
    return NVML_SUCCESS;
}

/* Who holds memory: a server, and the one that started this process. */
__attribute__((unused)) static u32 server_pid(void) {
    const char *pid = getenv("NVML_SERVER");
    return pid ? (u32)atoi(pid) : (u32)getpid();
}

/* --- the library --------------------------------------------------------------------------------------------------- */

nvmlReturn_t nvmlInit_v2(void) {
    const char *name = getenv("NVML_SCENE");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        if (name && !strcmp(name, scenes[i].name)) {
            if (scenes[i].init != NVML_SUCCESS) return scenes[i].init;
            scene = &scenes[i];
            started++;
            return NVML_SUCCESS;
        }
    return NVML_ERROR_UNKNOWN;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { return flags ? NVML_ERROR_INVALID_ARGUMENT : nvmlInit_v2(); }

nvmlReturn_t nvmlShutdown(void) {
    if (!scene) return NVML_ERROR_UNINITIALIZED;
    if (!--started) scene = NULL;
    return NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t result) {
    return result == NVML_ERROR_LIB_RM_VERSION_MISMATCH ? "Driver/library version mismatch" : "An error of the test's NVML";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    return scene ? say(version, length, "570.86.15") : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) {
    if (!scene) return NVML_ERROR_UNINITIALIZED;
    *version = 12080;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    if (!scene) return NVML_ERROR_UNINITIALIZED;
    *count = scene->devices;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (!scene) return NVML_ERROR_UNINITIALIZED;
    if (index >= scene->devices) return NVML_ERROR_INVALID_ARGUMENT;
    if (scene->handle != NVML_SUCCESS) return scene->handle;
    *device = &whole[index];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    LOOK(device);
    char text[64];
    snprintf(text, sizeof text, device->instance < 0 ? "GPU-8f6b1c70-0000-4000-8000-%012u" : "MIG-5c9a2e10-0000-5000-8000-%012u",
             device->index * 10 + (u32)(device->instance + 1));
    return say(uuid, length, text);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    LOOK(device);
    if (scene->mig)
        return say(name, length, device->instance < 0 ? "NVIDIA A100-SXM4-40GB" : "NVIDIA A100-SXM4-40GB MIG 1g.5gb");
    return say(name, length, device->index ? "NVIDIA T4" : "NVIDIA GeForce RTX 4090");
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    LOOK(device);
    memory->total = 24564 * MIB;
    memory->used = 9400 * MIB;
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

#ifndef OLD
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    LOOK(device);
    if (memory->version != nvmlMemory_v2) return NVML_ERROR_INVALID_ARGUMENT;
    int is_part = device->instance >= 0;
    memory->total = (is_part ? 4864 : 24564) * MIB;
    memory->reserved = is_part ? 0 : 400 * MIB;
    memory->used = is_part ? (u64)(100 + device->instance) * MIB : 9000 * MIB;
    memory->free = memory->total - memory->reserved - memory->used;
    return NVML_SUCCESS;
}
#endif

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    LOOK(device);
    if (scene->mig) return NVML_ERROR_NOT_SUPPORTED;
    rates->gpu = busy_of(now_us() / ENTRY - 1);
    rates->memory = rates->gpu / 2;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy) {
    static u32 asked;
    LOOK(device);
    if (scene->no_energy) return NVML_ERROR_NOT_SUPPORTED;
    if (scene->stuck_after && ++asked > scene->stuck_after)
        for (;;) pause();
    *energy = energy_at(now_us());
    told("energy %llu %llu\n", device->index, *energy, 0);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power) {
    LOOK(device);
    *power = 107500;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *celsius) {
    LOOK(device);
    if (sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
    *celsius = 71;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
    LOOK(device);
    *reasons = nvmlClocksEventReasonSwPowerCap;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long last_seen,
                                  nvmlValueType_t *value_type, unsigned int *count, nvmlSample_t *samples) {
    LOOK(device);
    if (scene->mig) return NVML_ERROR_NOT_SUPPORTED;
    if (type != NVML_GPU_UTILIZATION_SAMPLES) return NVML_ERROR_INVALID_ARGUMENT;
    if (scene->no_samples) return NVML_ERROR_NOT_FOUND;
    *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
    if (!samples) {
        *count = RING;
        return NVML_SUCCESS;
    }
    u64 newest = now_us() / ENTRY;
    u32 found = 0;
    for (u64 entry = newest - RING + 1; entry <= newest && found < *count; entry++) {
        if (entry * ENTRY <= last_seen) continue;
        samples[found].timeStamp = entry * ENTRY;
        /* The entry at a moment tells of the time before it. */
        samples[found].sampleValue.ullVal = 0xdeadbeef00000000ULL; /* Only as wide as its type says. */
        samples[found].sampleValue.uiVal = busy_of(entry - 1);
        told("busy %llu %llu %llu\n", device->index, samples[found].timeStamp, busy_of(entry - 1));
        found++;
    }
    *count = found;
    return found ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}

__attribute__((unused)) static nvmlReturn_t list(unsigned int *count, nvmlProcessInfo_t *infos, u32 length) {
    u32 room = *count;
    *count = length;
    if (!infos || room < length) return length ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
    for (u32 i = 0; i < length; i++) {
        nvmlProcessInfo_t info = {.gpuInstanceId = 0xffffffff, .computeInstanceId = 0xffffffff};
        info.pid = i == 0 ? server_pid() : i == 1 ? (u32)getppid() : 4000000 + i;
        info.usedGpuMemory = i == 0 ? 8200 * MIB : i == 1 ? 600 * MIB : ~0ULL; /* NVML_VALUE_NOT_AVAILABLE */
        infos[i] = info;
    }
    return NVML_SUCCESS;
}

#ifndef OLD
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
    static u32 reads;
    LOOK(device);
    /* Eight start between the first look at how many there are and the first reading of who. */
    u32 length = scene->crowd && (infos || reads) ? 10 : 2;
    reads += infos != NULL;
    nvmlReturn_t result = list(count, infos, length);
    if (infos) told("users %llu %llu\n", device->index, (u64)result, 0);
    return result;
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *infos) {
    LOOK(device);
    return list(count, infos, 0);
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *shares, unsigned int *count,
                                             unsigned long long last_seen) {
    LOOK(device);
    if (scene->mig) return NVML_ERROR_NOT_SUPPORTED;
    u64 newest = now_us() / 1000000 * 1000000;
    if (newest <= last_seen) return NVML_ERROR_NOT_FOUND;
    if (!shares || *count < 2) {
        *count = 2;
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    *count = 2;
    for (u32 i = 0; i < 2; i++) {
        nvmlProcessUtilizationSample_t share = {.timeStamp = newest};
        share.pid = i ? (u32)getppid() : server_pid();
        share.smUtil = i ? (scene->two_compute ? 31 : 0) : 25;
        shares[i] = share;
    }
    return NVML_SUCCESS;
}
#endif

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
    LOOK(device);
    if (!scene->mig) return NVML_ERROR_NOT_SUPPORTED;
    *current = *pending = NVML_DEVICE_MIG_ENABLE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
    LOOK(device);
    *count = scene->mig ? 7 : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *found) {
    LOOK(device);
    if (!scene->mig) return NVML_ERROR_NOT_SUPPORTED;
    if (index != 0 && index != 3) return NVML_ERROR_NOT_FOUND;
    *found = &instances[index == 3];
    return NVML_SUCCESS;
}
