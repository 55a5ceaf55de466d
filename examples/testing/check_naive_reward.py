"""What the battery finds in a naive reward; docs/testing.md shows what this prints."""

from naive_reward import soft_iou_reward

from tag_rewards.testing import ContractViolation, assert_reward_contract

if __name__ == "__main__":  # the battery starts another process, which imports this file
    try:
        assert_reward_contract(soft_iou_reward)
    except ContractViolation as violation:
        print(violation)
