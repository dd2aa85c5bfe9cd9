module;
#include <pthread.h>

#include <utility>
module buffers.threads;

namespace buffers::detail {

namespace {

constinit thread_local thread_end* newest = nullptr;
constinit pthread_once_t once = PTHREAD_ONCE_INIT;
constinit pthread_key_t key = 0;
constinit int key_error = 0;

void call_all(void*) {
  while (newest != nullptr) {
    thread_end& end = *std::exchange(newest, newest->next);
    end.is_waiting = false;
    end.call();
  }
}

}  // namespace

void at_thread_end(thread_end& end) {
  if (end.is_waiting) return;
  pthread_once(&once, [] { key_error = pthread_key_create(&key, call_all); });
  const int error = key_error != 0 ? key_error : pthread_setspecific(key, &key);
  if (error != 0) throw_bad_alloc();
  end.next = std::exchange(newest, &end);
  end.is_waiting = true;
}

}  // namespace buffers::detail
