module;
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>
module buffers.threads;

namespace buffers::detail {

namespace {

constinit thread_local thread_end* newest = nullptr;
constinit std::atomic<std::uint64_t> key_and_one = 0;  // 0: there is none yet

void call_those_waiting() noexcept {
  while (newest != nullptr) {
    thread_end& end = *std::exchange(newest, newest->next);
    end.is_waiting = false;
    end.call();
  }
}

// The program or library that holds a function that is called when a thread ends stays loaded, whoever unloads it, as
// C++ does it for destructors of thread_local variables.
void keep_loaded(void (*call)() noexcept) noexcept {
  static constinit std::atomic<void (*)() noexcept> kept[16] = {};  // so that each is looked for once, as a rule
  void* const place = reinterpret_cast<void*>(call);
  auto& last = kept[reinterpret_cast<std::uintptr_t>(place) / 16 % std::size(kept)];
  if (last.load(std::memory_order_relaxed) == call) return;
  Dl_info found;
  if (dladdr(place, &found) != 0 && found.dli_fname != nullptr)
    if (void* const library = dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE)) dlclose(library);
  last.store(call, std::memory_order_relaxed);
}

// The first call makes it, or a later one where the system had none to give. No lock: a child process could find it
// held.
pthread_key_t key() {
  std::uint64_t present = key_and_one.load(std::memory_order_acquire);
  if (present == 0) {
    pthread_key_t made;
    if (pthread_key_create(&made, [](void*) { call_those_waiting(); }) != 0) throw_bad_alloc();
    keep_loaded(call_those_waiting);
    if (key_and_one.compare_exchange_strong(present, std::uint64_t{made} + 1)) return made;
    pthread_key_delete(made);  // another thread was faster
  }
  return static_cast<pthread_key_t>(present - 1);
}

}  // namespace

void at_thread_end(thread_end& end) {
  if (end.is_waiting) return;
  if (pthread_setspecific(key(), &key_and_one) != 0) throw_bad_alloc();
  keep_loaded(end.call);
  end.next = std::exchange(newest, &end);
  end.is_waiting = true;
}

}  // namespace buffers::detail
