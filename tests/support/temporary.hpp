// A file for a test, which is removed after it. It uses no heap.
// To be included after <cstdio>, <unistd.h> and <atomic>.
#pragma once

class temporary_file {
 public:
  temporary_file() {
    static std::atomic<int> count{0};
    std::snprintf(path_, sizeof path_, "/tmp/buffers-test-%d-%d", static_cast<int>(getpid()), count.fetch_add(1));
  }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() { unlink(path_); }
  const char* c_str() const { return path_; }

 private:
  char path_[64];
};
