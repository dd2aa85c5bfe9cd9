import buffers.threads;

bool threads_alone() {
  buffers::thread_resource<> each;
  buffers::scope inner{each.local()};  // and buffers.resources
  return each.allocate(1) != nullptr && each.size() == 1 && buffers::default_buffer().used() == 0;
}
