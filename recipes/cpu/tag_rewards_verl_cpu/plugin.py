"""What `import verl` loads in every process (entry-point group `verl.plugins`)."""

from tag_rewards_verl_cpu import wanted

if wanted():
    from tag_rewards_verl_cpu import engine_device, platform, process_group, unpinned_offload

    for workaround in (platform, engine_device, process_group, unpinned_offload):
        if workaround.needed():
            workaround.apply()
